package repair

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"runtime"
	"sync"

	"github.com/chorus-services/swoosh"
)

// Extra is what a verification checks besides.
type Extra struct {
	// Head is one that the log must go on from, so that no entry up to it was altered or
	// taken away.
	Head Head

	// Signatures has the signature of each signed entry checked, from the log alone.
	Signatures bool
}

// signature is one to check.
type signature struct {
	index        uint64
	signer       string
	key, content []byte
	signature    []byte
}

// verifySignatures checks the signature of each entry that has a signer_key, from the log
// alone, on all cores, and returns how many there are. A *swoosh.DamageError names the first
// that is bad. What no key is known of was never checked, and proves nothing.
func (s *site) verifySignatures(ctx context.Context, hub swoosh.Hash) (*uint64, error) {
	bad := &badSignature{index: math.MaxUint64}
	work := make(chan signature, 256)
	var checkers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		checkers.Go(func() {
			for x := range work {
				if len(x.key) != ed25519.PublicKeySize || !ed25519.Verify(x.key, x.content, x.signature) {
					bad.found(x)
				}
			}
		})
	}
	signed, err := s.readSignatures(ctx, hub, work)
	close(work)
	checkers.Wait()
	switch {
	case err != nil:
		return nil, err
	case bad.signer != "":
		return nil, &swoosh.DamageError{
			Index: bad.index, Detail: fmt.Sprintf("its signature is not one of %s, by its signer_key, over this entry in this log", bad.signer),
			Next: "the log was written anew by somebody without the key: restore a backup whose signatures are good",
		}
	}
	return &signed, nil
}

// badSignature is the first entry whose signature is bad.
type badSignature struct {
	mu     sync.Mutex
	index  uint64
	signer string
}

func (b *badSignature) found(x signature) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if x.index < b.index {
		b.index, b.signer = x.index, x.signer
	}
}

// readSignatures sends what is to be checked, and returns how much that is.
func (s *site) readSignatures(ctx context.Context, hub swoosh.Hash, to chan<- signature) (n uint64, err error) {
	var first *swoosh.Entry // of the batch
	begins := uint64(1)     // the last entry of the submission that begins the log: there was no hub yet
	_, last := s.log.Bounds()
	for r, err := range s.log.Read(0, last) {
		if err != nil {
			return n, err
		}
		if err := ctx.Err(); err != nil {
			return n, err
		}
		if len(r.JSON) == 0 {
			continue // It is accepted as lost.
		}
		x, err := swoosh.DecodeEntry(r)
		if err != nil {
			return n, err
		}
		if x.Batch.First == x.Index {
			first = x
		}
		if x.Index == 1 {
			begins = x.BatchEnd()
		}
		if x.SignerKey == "" {
			continue
		}
		batch, of := (*swoosh.Entry)(nil), hub
		if x.Batch.Count > 0 {
			batch = first
		}
		if x.Index <= begins {
			of = swoosh.Hash{}
		}
		if batch == nil && x.Batch.Count > 0 || batch != nil && batch.Index != x.Batch.First {
			return n, &swoosh.DamageError{Index: x.Index, Detail: "its signature cannot be checked: the first entry of its batch, which has the key, is lost", Next: "restore a backup that has it"}
		}
		key, _ := hex.DecodeString(x.SignerKey)
		signed, _ := base64.StdEncoding.DecodeString(x.Signature) // What is no base64 is no signature.
		to <- signature{x.Index, x.Signer, key, x.SignedContent(of, batch), signed}
		n++
	}
	return n, nil
}
