package command

import (
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"runtime"
	"strconv"
	"sync"

	"kvd/kv"
	"kvd/kv/packed"
	"kvd/kv/resp"
)

// The digest of DEBUG DIGEST is Redis': the same hex for the same data.
//
//	add(d, b)  d ^= SHA1(b)              order does not matter
//	mix(d, b)  d  = SHA1(d ^ SHA1(b))    order matters
//
//	key     = mix(key), mix(type), then of the value, and add("!!expire!!") if it expires
//	string    mix(value)
//	list      mix(element) …
//	set       add(member) …
//	zset      add(mix(0, member), mix(score)) …
//	hash      add(mix(0, field), mix(value), and add("!!hexpire!!") if the field expires) …
//	stream    of each entry: mix("ms.seq"), mix(field), mix(value) …
//	total   = for every database that is not empty:
//	              mix(index), then add(key) for every key
//
// Numbers are uint32, the first byte the highest; scores are as %.17g prints them. When a key
// or field expires does not matter, whether it does is part of the digest.
type digest = [sha1.Size]byte

// digestTypes are the digests of Redis' numbers of the types.
var digestTypes = [...]digest{kv.TypeString: digestOfInt(0), kv.TypeList: digestOfInt(1), kv.TypeSet: digestOfInt(2),
	kv.TypeZset: digestOfInt(3), kv.TypeHash: digestOfInt(4), kv.TypeStream: digestOfInt(6)}

var (
	digestExpire      = sha1.Sum([]byte("!!expire!!"))
	digestFieldExpire = sha1.Sum([]byte("!!hexpire!!"))
)

func digestOfInt(n uint32) digest { return sha1.Sum(binary.BigEndian.AppendUint32(nil, n)) }

func xorDigest(d *digest, b *digest) { subtle.XORBytes(d[:], d[:], b[:]) }

func addDigest(d *digest, b []byte) {
	s := sha1.Sum(b)
	xorDigest(d, &s)
}

func mixDigest(d *digest, b []byte) {
	addDigest(d, b)
	*d = sha1.Sum(d[:])
}

// digester computes the digests of values. It keeps memory from one to the next.
type digester struct {
	now  int64  // Unix milliseconds: fields that have expired by then are not there
	text []byte // of a number
}

// bytes returns the text of an element, until the next call.
func (g *digester) bytes(v *packed.Value) []byte {
	if !v.IsInt {
		return v.Text
	}
	g.text = v.Append(g.text[:0])
	return g.text
}

// mixValue mixes a value and whether it expires into d.
func (g *digester) mixValue(d *digest, it *kv.Item) {
	xorDigest(d, &digestTypes[it.Type])
	*d = sha1.Sum(d[:])
	switch {
	case it.Type == kv.TypeStream:
		g.mixStream(d, it)
	case it.Type == kv.TypeString && it.Encoding != kv.EncChunks:
		mixDigest(d, it.Value)
	case it.Type == kv.TypeString:
		g.mixChunks(d, it)
	default:
		g.mixElements(d, it)
	}
	if it.ExpireAt != kv.NoExpiry {
		xorDigest(d, &digestExpire)
	}
}

// mixChunks mixes a long string.
func (g *digester) mixChunks(d *digest, it *kv.Item) {
	var e kv.Element
	h := sha1.New()
	for elems := it.Elements(); elems.Next(&e); {
		h.Write(e.Member.Text)
	}
	var s digest
	h.Sum(s[:0])
	xorDigest(d, &s)
	*d = sha1.Sum(d[:])
}

// mixElements mixes the elements of a list, set, sorted set or hash.
func (g *digester) mixElements(d *digest, it *kv.Item) {
	var e kv.Element
	for elems := it.Elements(); elems.Next(&e); {
		switch it.Type {
		case kv.TypeList:
			mixDigest(d, g.bytes(&e.Member))
			continue
		case kv.TypeSet:
			addDigest(d, g.bytes(&e.Member))
			continue
		}
		if e.ExpireAt != kv.NoExpiry && e.ExpireAt <= g.now {
			continue
		}
		var own digest
		mixDigest(&own, g.bytes(&e.Member))
		if it.Type == kv.TypeZset {
			g.text = resp.AppendFloat(g.text[:0], e.Score)
			mixDigest(&own, g.text)
		} else {
			mixDigest(&own, g.bytes(&e.Value))
		}
		if e.ExpireAt != kv.NoExpiry {
			xorDigest(&own, &digestFieldExpire)
		}
		addDigest(d, own[:])
	}
}

// mixStream mixes the entries of a stream. Its groups are no part of the digest.
func (g *digester) mixStream(d *digest, it *kv.Item) {
	v := it.Stream()
	var e kv.StreamEntry
	var field, value packed.Value
	for entries := v.Entries(); entries.Next(&e); {
		g.text = strconv.AppendUint(g.text[:0], e.ID.Ms, 10)
		g.text = strconv.AppendUint(append(g.text, '.'), e.ID.Seq, 10)
		mixDigest(d, g.text)
		for entries.Field(&field, &value) {
			mixDigest(d, g.bytes(&field))
			mixDigest(d, g.bytes(&value))
		}
	}
}

// digestKey returns the digest of the value at key (DEBUG DIGEST-VALUE): zeros
// if there is none. The key must be locked.
func (x *Ctx) digestKey(key []byte) (d digest) {
	if it, ok := x.Tx.Peek(x.Client.db, key); ok {
		g := digester{now: x.Tx.Now()}
		g.mixValue(&d, &it)
	}
	return d
}

// digestBatch is how many keys go from the walk to a worker at a time.
const digestBatch = 512

type digestEntry struct {
	key []byte // like the item borrowed from the store: nothing changes while all is locked
	it  kv.Item
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
	work, now := make(chan []digestEntry, 4), x.Tx.Now()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			var own digest
			g := digester{now: now}
			for batch := range work {
				for i := range batch {
					g.addEntry(&own, &batch[i])
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
			batch = append(batch, digestEntry{key, it})
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

func (g *digester) addEntry(sum *digest, e *digestEntry) {
	var d digest
	mixDigest(&d, e.key)
	g.mixValue(&d, &e.it)
	addDigest(sum, d[:])
}
