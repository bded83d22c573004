package command

import (
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"runtime"
	"sync"

	"kvd/kv"
)

// The digest of DEBUG DIGEST is Redis': the same hex for the same data.
//
//	add(d, b)  d ^= SHA1(b)              order does not matter
//	mix(d, b)  d  = SHA1(d ^ SHA1(b))    order matters
//
//	key    = mix(key), mix(type), mix(value), add("!!expire!!") if it expires
//	total  = for every database that is not empty:
//	             mix(index), then add(key) for every key
//
// Numbers are uint32, the first byte the highest. When a key expires does not
// matter, whether it does is part of the digest.
type digest = [sha1.Size]byte

// digestString is the number of Redis' string type.
var digestString = digestOf(binary.BigEndian.AppendUint32(nil, 0))

var digestExpire = digestOf([]byte("!!expire!!"))

func digestOf(b []byte) digest { return sha1.Sum(b) }

func xorDigest(d *digest, b *digest) { subtle.XORBytes(d[:], d[:], b[:]) }

func addDigest(d *digest, b []byte) {
	s := sha1.Sum(b)
	xorDigest(d, &s)
}

func mixDigest(d *digest, b []byte) {
	addDigest(d, b)
	*d = sha1.Sum(d[:])
}

// mixValue mixes a value and whether it expires into d.
func mixValue(d *digest, value []byte, expires bool) {
	xorDigest(d, &digestString)
	*d = sha1.Sum(d[:])
	mixDigest(d, value)
	if expires {
		xorDigest(d, &digestExpire)
	}
}

// digestKey returns the digest of the value at key (DEBUG DIGEST-VALUE): zeros
// if there is none. The key must be locked.
func (x *Ctx) digestKey(key []byte) (d digest) {
	if it, ok := x.Tx.Peek(x.Client.db, key); ok {
		mixValue(&d, it.Value, it.ExpireAt != kv.NoExpiry)
	}
	return d
}

// digestBatch is how many keys go from the walk to a worker at a time.
const digestBatch = 512

type digestEntry struct {
	key, value []byte // borrowed from the store: nothing changes while all is locked
	expires    bool
}

// digestAll returns the digest of all databases (DEBUG DIGEST). All keys must be locked.
func (x *Ctx) digestAll() (total digest) {
	for db := range x.Store.Databases() {
		if x.Store.Len(db) == 0 {
			continue
		}
		if sum, keys := x.digestDB(db); keys > 0 {
			mixDigest(&total, binary.BigEndian.AppendUint32(nil, uint32(db)))
			xorDigest(&total, &sum)
		}
	}
	return total
}

// digestDB returns the sum of the digests of a database's live keys, and their
// number. The hashing is spread over all processors.
func (x *Ctx) digestDB(db int) (sum digest, keys int64) {
	work := make(chan []digestEntry, 4)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			var own digest
			for batch := range work {
				for i := range batch {
					addEntry(&own, &batch[i])
				}
			}
			mu.Lock()
			xorDigest(&sum, &own)
			mu.Unlock()
		})
	}
	batch := make([]digestEntry, 0, digestBatch)
	for cursor := uint64(0); ; {
		cursor = x.Tx.Scan(db, cursor, digestBatch, func(key []byte, it kv.Item) {
			batch = append(batch, digestEntry{key, it.Value, it.ExpireAt != kv.NoExpiry})
		})
		if len(batch) >= digestBatch || cursor == 0 {
			keys += int64(len(batch))
			work <- batch
			batch = make([]digestEntry, 0, 2*digestBatch)
		}
		if cursor == 0 {
			break
		}
	}
	close(work)
	wg.Wait()
	return sum, keys
}

func addEntry(sum *digest, e *digestEntry) {
	var d digest
	mixDigest(&d, e.key)
	mixValue(&d, e.value, e.expires)
	addDigest(sum, d[:])
}
