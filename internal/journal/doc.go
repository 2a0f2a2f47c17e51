// Package journal keeps a log's entries in files of its own. A group of entries
// is durable after one write and one fdatasync. Damage costs only the records
// that it hits, is reported as a range of entries, and can be healed from another
// copy of the log.
//
// # Files
//
// All integers are big-endian. Indexes in names have 20 decimal digits.
//
//	<first>.raw         takes groups; first is the least index that it may hold
//	spare-<n>.raw       will become a raw file by renaming
//	<first>-<last>.zst  sealed: compressed, and never written again
//	trim-<first>        empty: entries before first are being removed
//	*.tmp               not complete; removed by Open
//
// # Records
//
// Both kinds of file consist of records. A record is a header and a body:
//
//	offset  size
//	     0     4  magic: F9 FE 73 77
//	     4     1  format: 1
//	     5     1  kind: 0 plain, 1 zstd, 2 table
//	     6     2  zero
//	     8     8  index of the first entry
//	    16     4  number of entries
//	    20     4  bytes of the body as stored
//	    24     4  bytes of the body once decoded
//	    28    32  chain before the first entry
//	    60    32  chain after the last entry
//	    92     4  CRC-32C (Castagnoli) of bytes 0 to 91 and the stored body
//	    96        body
//
// No text in UTF-8 contains the magic, so an entry cannot pose as a record. Later
// formats keep the magic, the format, the stored size and the CRC where they are:
// a sound record of a later format is [ErrNewer], never damage.
//
// # Raw files
//
// A raw file has 8 MiB, all written once before it is used, so a sync writes data
// and no metadata. A record is plain, starts at a multiple of 4096 and is padded
// with zeros to one, so that nothing acknowledged is written again. The file was
// another raw file before: records whose first index is below the one in the name
// are left from then. A later record follows an earlier one by index and chain; a
// missing index is a hole. What follows the last sound record of the last raw file
// is a write that was cut off, and the next record overwrites it.
//
// # Sealed files
//
// A sealed file holds consecutive entries without a hole: zstd records of about
// 256 KiB of bodies, one after the other, without padding; a table record, of the
// whole file's entries and chains; and the table's offset in the file, in 8 bytes.
// The table's body has 16 bytes for each record before it: the index of its first
// entry, and its offset. If the table is damaged, the records are found by their
// magic.
package journal
