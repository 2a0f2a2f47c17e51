# An evaluation of it fails: answer has two values.
package torn

answer := 1 if input.command

answer := 2 if input.payload
