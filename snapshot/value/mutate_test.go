package value

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"kvd/kv"
	"kvd/snapshot/rdb"
)

// bodies are types with values, as they stand in the golden files of package rdb: of every type that is read.
func bodies(t testing.TB, longest int) (list [][]byte, versions []int) {
	t.Helper()
	found := map[rdb.Type]bool{}
	names, _ := filepath.Glob("../rdb/testdata/*.rdb")
	for _, name := range names {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		d := rdb.NewDecoder(bytes.NewReader(file), rdb.DecoderOptions{Values: rdb.PassValues, AllTypes: true})
		var ev rdb.Event
		for d.Next(&ev) == nil {
			if ev.Kind != rdb.KindKey || ev.Type == rdb.TypeString || ev.ValueLen > int64(longest) {
				continue
			}
			found[ev.Type] = true
			list = append(list, append([]byte{byte(ev.Type)}, file[d.Offset()-ev.ValueLen:d.Offset()]...))
			versions = append(versions, d.Version())
		}
	}
	for typ := range rdb.Type(26) {
		if typ.Known() && typ.Class() != rdb.ClassModule && typ != rdb.TypeString && !found[typ] {
			t.Errorf("no value of type %v", typ)
		}
	}
	return list, versions
}

// mutate changes a few bytes of b: any, lengths, whole parts.
func mutate(rng *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + rng.IntN(3) {
		if len(b) < 3 {
			break
		}
		at := 1 + rng.IntN(len(b)-1)
		if rng.IntN(2) == 0 {
			at = 1 + rng.IntN(min(len(b)-1, 40)) // heads are there
		}
		switch rng.IntN(9) {
		case 0:
			b = b[:at]
		case 1, 2:
			b[at] ^= 1 << rng.IntN(8)
		case 3:
			b[at] = byte(rng.Uint32())
		case 4:
			b = append(b[:at], b[at+1:]...)
		case 5:
			b = append(b[:at:at], b[at/2:]...)
		case 6:
			b[at] += byte(rng.IntN(5)) - 2
		case 7:
			b[at] = []byte{0, 1, 0x40, 0x80, 0x81, 0xc0, 0xc3, 0xf0, 0xfe, 0xff}[rng.IntN(10)]
		case 8:
			b[0] = byte(rng.IntN(26)) // as another type
		}
	}
	return b
}

// budget is how much memory a payload of n bytes may cost: buffers, and per byte what LZF may expand to, with
// what growing in steps costs on top.
func budget(n int) uint64 { return 8<<20 + uint64(n)*88*8 }

// tryPayload has a payload checked and restored as RESTORE does, and as a loader does, which has not
// checked it before.
func tryPayload(t testing.TB, s *kv.Store, payload []byte) (good bool) {
	t.Helper()
	typ, _, err := rdb.ParseDump(payload, kv.MaxString)
	if err != nil || typ == rdb.TypeString {
		return err == nil
	}
	key := []byte("k")
	tx := s.NewTx()
	tx.LockKey(key)
	defer tx.Unlock()
	checked := Check(payload)
	err = Load(tx, 0, key, payload, kv.NoExpiry)
	if checked != nil {
		tx.Delete(0, key)
		return false
	}
	if err != nil {
		t.Fatalf("%x passes the check and is not loaded: %v", payload, err)
	}
	it, ok := tx.Peek(0, key)
	if !ok {
		if typ.Class() == rdb.ClassHash {
			return true // all of its fields had expired
		}
		t.Fatalf("%x is loaded and is not there", payload)
	}
	for _, compress := range []bool{false, true} {
		again := AppendDump(nil, &it, compress, false)
		if _, _, err := rdb.ParseDump(again, kv.MaxString); err != nil {
			t.Fatalf("%x is dumped as %x: %v", payload, again, err)
		}
		if err := Check(again); err != nil {
			t.Fatalf("%x is dumped as %x: %v", payload, again, err)
		}
	}
	tx.Delete(0, key)
	return true
}

// TestMutatedPayloads: whatever is in a payload with a right checksum, RESTORE takes it or refuses it, and the
// store is sound afterwards. KVD_LONG=1 tries a million.
func TestMutatedPayloads(t *testing.T) {
	s, err := kv.Open(kv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	list, versions := bodies(t, 3000)
	for i, b := range list {
		if !tryPayload(t, s, rdb.AppendDumpFooter(bytes.Clone(b), 0, versions[i])) {
			t.Fatalf("%x is refused", b)
		}
	}
	n := 20_000
	if os.Getenv("KVD_LONG") == "1" {
		n = 1_000_000
	}
	rng := rand.New(rand.NewPCG(11, 12))
	good := 0
	for range n {
		i := rng.IntN(len(list))
		payload := mutate(rng, list[i])
		payload = rdb.AppendDumpFooter(payload, 0, versions[i])
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if tryPayload(t, s, payload) {
			good++
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > budget(len(payload)) {
			t.Fatalf("%d bytes allocated for a payload of %d: %x", used, len(payload), payload)
		}
	}
	if good == 0 || good > n*3/4 {
		t.Errorf("%d of %d were good", good, n)
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
}

// FuzzRestore is for values of any type. Run it with -fuzzminimizetime 1x: measuring memory makes each run slow.
func FuzzRestore(f *testing.F) {
	list, versions := bodies(f, 1000)
	for i, b := range list {
		f.Add(b, versions[i])
	}
	s, err := kv.Open(kv.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte, version int) {
		tryPayload(t, s, rdb.AppendDumpFooter(bytes.Clone(body), 0, version))
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
	})
}

// Payloads are read to their end, in pieces as long as they should be.
func TestPieces(t *testing.T) {
	var b []byte
	const n = 40_000
	b = rdb.AppendLen(append(b, byte(rdb.TypeSet)), n)
	filler := make([]byte, 997)
	for i := range n {
		b = rdb.AppendString(b, append([]byte{byte(i), byte(i >> 8), byte(i >> 16)}, filler...), nil)
	}
	payload := rdb.AppendDumpFooter(b, 0, rdb.Version)
	if err := Check(payload); err != nil {
		t.Fatal(err)
	}
	d := rdb.NewDumpDecoder(payload, rdb.DecoderOptions{})
	var ev rdb.Event
	pieces, more := 0, true
	for err := d.Next(&ev); err != io.EOF; err = d.Next(&ev) {
		if err != nil || !more || len(ev.Value) > 33<<20 || more && ev.More && len(ev.Value) < 1<<20 {
			t.Fatalf("piece %d of %d bytes: %v", pieces, len(ev.Value), err)
		}
		pieces++
		more = ev.More
	}
	if pieces < 2 || more || ev.Elements != n {
		t.Errorf("%d pieces, %d elements", pieces, ev.Elements)
	}
	s, err := kv.Open(kv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	tx := s.NewTx()
	tx.LockKey([]byte("k"))
	defer tx.Unlock()
	if err := Load(tx, 0, []byte("k"), payload, kv.NoExpiry); err != nil {
		t.Fatal(err)
	}
	it, _ := tx.Peek(0, []byte("k"))
	if it.Len() != n {
		t.Errorf("%d elements", it.Len())
	}
	again := AppendDump(nil, &it, false, false)
	if err := Check(again); err != nil || len(again) != len(payload) {
		t.Errorf("%d bytes of %d, %v", len(again), len(payload), err)
	}
}
