package kv

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// edges are lengths at which a string is laid out otherwise.
var edges = []int{0, 1, 44, 45, ChunkSize - 1, ChunkSize, ChunkSize + 1, ChunkedAbove - 1, ChunkedAbove, ChunkedAbove + 1,
	3*ChunkSize - 1, 3 * ChunkSize, 3*ChunkSize + 1, promoteAt - 1, promoteAt, promoteAt + 1, 20 * ChunkSize}

func edge(r *rand.Rand) int {
	if r.IntN(3) == 0 {
		return r.IntN(300_000)
	}
	return max(edges[r.IntN(len(edges))]+r.IntN(5)-2, 0)
}

func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	if r.IntN(5) > 0 {
		for i := 0; i < n; i += 1 + r.IntN(50) {
			b[i] = byte(r.Uint32())
		}
	}
	return b
}

// stringModel is a store with long strings and what they should be.
type stringModel struct {
	t    *testing.T
	r    *rand.Rand
	s    *Store
	want map[string][]byte
}

func (m *stringModel) key() []byte { return fmt.Appendf(nil, "k%d", m.r.IntN(6)) }

// written returns old with data written at off.
func written(old []byte, off int, data []byte) []byte {
	b := make([]byte, max(len(old), off+len(data)))
	copy(b, old)
	copy(b[off:], data)
	return b
}

// step makes one random change.
func (m *stringModel) step() {
	r, k := m.r, m.key()
	tx := m.s.NewTx()
	tx.LockAll()
	defer tx.Unlock()
	old, exists := m.want[string(k)]
	var err error
	switch r.IntN(12) {
	case 0:
		val := noise(r, edge(r))
		err = tx.SetString(0, k, val, EncodingOf(val), KeepExpiry)
		m.want[string(k)] = val
	case 1:
		val := noise(r, edge(r))
		err = tx.FillString(0, k, int64(len(val)), NoExpiry, func(dst []byte, at int64) []byte {
			piece := val[at : at+int64(len(dst))]
			switch {
			case bytes.Equal(piece, zeroChunk[:len(piece)]):
				return nil
			case r.IntN(2) == 0:
				return piece
			}
			copy(dst, piece)
			return dst
		})
		m.want[string(k)] = val
	case 2:
		tx.Delete(0, k)
		delete(m.want, string(k))
	case 3, 4:
		to := m.key()
		move := r.IntN(2) == 0
		if !exists || string(k) == string(to) {
			return
		}
		if move {
			err = tx.Move(0, k, 0, to)
			delete(m.want, string(k))
		} else {
			err = tx.Copy(0, k, 0, to)
		}
		m.want[string(to)] = old
	case 5:
		if len(old) <= ChunkedAbove {
			err = tx.MakeRaw(0, k)
		}
	default:
		off, data := edge(r), noise(r, []int{1, 10, edge(r)}[r.IntN(3)])
		if r.IntN(3) == 0 {
			off = len(old)
		}
		var size int64
		size, err = tx.WriteAt(0, k, int64(off), data)
		val := written(old, off, data)
		if size != int64(len(val)) {
			m.t.Fatalf("WriteAt returns a length of %d, want %d", size, len(val))
		}
		m.want[string(k)] = val
	}
	if err != nil {
		m.t.Fatal(err)
	}
	m.look(tx, m.key())
}

// look compares what the store tells of one key.
func (m *stringModel) look(tx *Tx, k []byte) {
	m.t.Helper()
	want, exists := m.want[string(k)]
	it, ok := tx.Peek(0, k)
	if ok != exists {
		m.t.Fatalf("%q is there: %v, want %v", k, ok, exists)
	}
	if !ok {
		return
	}
	if it.Len() != int64(len(want)) {
		m.t.Fatalf("%q has %d bytes, want %d", k, it.Len(), len(want))
	}
	from := m.r.IntN(len(want) + 1)
	to := from + m.r.IntN(len(want)+1-from)
	if got := it.AppendRange([]byte("x"), int64(from), int64(to)); string(got[1:]) != string(want[from:to]) {
		m.t.Fatalf("%q differs from what it should be in [%d, %d)", k, from, to)
	}
	at := from
	for p := it.Pieces(int64(from), int64(to)); p.Next(); at += len(p.Bytes) {
		if (at+len(p.Bytes))%ChunkSize != 0 && at+len(p.Bytes) != to || !bytes.Equal(p.Bytes, want[at:at+len(p.Bytes)]) {
			m.t.Fatalf("the piece of %d bytes at %d of %q", len(p.Bytes), at, k)
		}
	}
	if at != to {
		m.t.Fatalf("the pieces of %q end at %d, not at %d", k, at, to)
	}
}

// sameView compares what a view shows.
func (m *stringModel) sameView(v *View, want map[string][]byte) {
	m.t.Helper()
	var e Entry
	n := 0
	for i := range v.Shards() {
		for w := v.Walk(i); w.Next(&e); n++ {
			got := e.Value
			if e.Encoding == EncChunks {
				got = nil
				var c Element
				for it := e.Elements(); it.Next(&c); {
					got = append(got, c.Member.Text...)
				}
			}
			if !bytes.Equal(got, want[string(e.Key)]) || e.Len() != int64(len(got)) {
				m.t.Fatalf("%q of the view has %d bytes, want %d, or others", e.Key, len(got), len(want[string(e.Key)]))
			}
		}
	}
	if n != len(want) {
		m.t.Fatalf("the view shows %d keys, want %d", n, len(want))
	}
}

func TestLongStrings(t *testing.T) {
	s := openStore(t, Options{Shards: 4})
	m := &stringModel{t: t, r: rand.New(rand.NewPCG(1, 2)), s: s, want: map[string][]byte{}}
	for round := range 32 {
		mode := []Mode{0, ModeThread, ModeCopy, ModeFork}[round%4]
		var v *View
		kept := map[string][]byte{} // no value is changed in place
		for k, b := range m.want {
			kept[k] = b
		}
		if mode != 0 {
			var err error
			if v, err = s.Freeze(FreezeOptions{Mode: mode}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 40 {
			m.step()
			if mode == ModeThread && i == 20 && round%8 == 1 { // some shards are done
				v.Release(round / 8 % 4)
				break
			}
		}
		mustCheck(t, s)
		if v != nil {
			if (mode == ModeThread && round%8 != 1) || mode == ModeCopy {
				m.sameView(v, kept)
			}
			v.Close()
		}
		mustCheck(t, s)
	}
	for k, want := range m.want {
		if got, ok := s.DB(0).Get([]byte(k)); !ok || !bytes.Equal(got, want) {
			t.Errorf("%q has %d bytes, want %d", k, len(got), len(want))
		}
	}
}

// A write into a long string while a cut is live keeps one old chunk and the nodes above it.
func TestLongStringDuringCut(t *testing.T) {
	const size, writes = 64 << 20, 100
	s := openStore(t, Options{})
	key := []byte("bitmap")
	if err := s.DB(0).Set(key, bytes.Repeat([]byte{7}, size)); err != nil {
		t.Fatal(err)
	}
	v, err := s.Freeze(FreezeOptions{Mode: ModeThread})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	tx := s.NewTx()
	for i := range writes {
		tx.LockKey(key)
		if _, err := tx.WriteAt(0, key, int64(i)*(size/writes), []byte{8}); err != nil {
			t.Fatal(err)
		}
		tx.Unlock()
	}
	extra, _ := v.ExtraBytes()
	if low, high := int64(writes*ChunkSize), int64(writes*(ChunkSize+8192)); extra < low || extra > high {
		t.Errorf("%d writes keep %d bytes, want %d to %d", writes, extra, low, high)
	}
	var e Entry
	for i := range v.Shards() {
		for w := v.Walk(i); w.Next(&e); {
			var c Element
			for it := e.Elements(); it.Next(&c); {
				if bytes.IndexByte(c.Member.Text, 8) >= 0 {
					t.Fatal("the view was written to")
				}
			}
		}
	}
}

// threadTime returns how long this thread has had a processor, whatever others do.
func threadTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Zeroes that nobody has written take no memory, and no time.
func TestSparseString(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s := openStore(t, Options{})
	tx := s.NewTx()
	for _, key := range [][]byte{[]byte("new"), []byte("short"), []byte("long"), []byte("big")} {
		n := map[string]int{"new": 0, "short": 100, "long": 40_000, "big": 1 << 20}[string(key)]
		if n > 0 {
			if err := s.DB(0).Set(key, bytes.Repeat([]byte{1}, n)); err != nil {
				t.Fatal(err)
			}
		}
		before := s.Memory().Entries
		tx.LockKey(key)
		start := threadTime(t)
		size, err := tx.WriteAt(0, key, MaxString-1, []byte{9})
		took := threadTime(t) - start
		if err != nil || size != MaxString {
			t.Fatal(size, err)
		}
		grown := s.Memory().Entries - before
		t.Logf("%s: %v, %d bytes", key, took, grown)
		if grown > 3<<20 || took > time.Second {
			t.Errorf("%s: takes %d bytes and %v", key, grown, took)
		}
		it, _ := tx.Peek(0, key)
		got := it.AppendRange(nil, MaxString-ChunkSize-5, MaxString)
		if len(got) != ChunkSize+5 || got[len(got)-1] != 9 || bytes.Count(got, []byte{0}) != ChunkSize+4 {
			t.Error("the end is not zeroes and a 9")
		}
		if got := it.AppendRange(nil, 0, int64(n+10)); bytes.Count(got, []byte{1}) != n {
			t.Error("the beginning is not what it was")
		}
		if _, err := tx.WriteAt(0, key, MaxString, []byte{1}); !errors.Is(err, ErrTooLong) {
			t.Error("a write behind 512 MiB: ", err)
		}
		tx.Delete(0, key)
		tx.Unlock()
	}
	before := s.Memory().Entries
	if err := s.DB(0).Set([]byte("zeroes"), make([]byte, 10<<20)); err != nil {
		t.Fatal(err)
	}
	if grown := s.Memory().Entries - before; grown > 1<<17 {
		t.Errorf("10 MiB of zeroes take %d bytes", grown)
	}
}

// After an error a string is what it was.
func TestLongStringNoMemory(t *testing.T) {
	for _, mode := range []Mode{0, ModeThread, ModeFork} {
		s := openStore(t, Options{Reserve: 1 << 30, Shards: 2})
		m := &stringModel{t: t, r: rand.New(rand.NewPCG(uint64(mode), 5)), s: s, want: map[string][]byte{}}
		for range 60 {
			m.step()
		}
		var v *View
		if mode != 0 {
			var err error
			if v, err = s.Freeze(FreezeOptions{Mode: mode}); err != nil {
				t.Fatal(err)
			}
		}
		h := takeAll(s)
		tx, failed := s.NewTx(), 0
		for i := range 400 {
			if i%100 == 0 {
				h.takeRest(h.heaps[0])
			}
			if i%4 == 0 {
				h.spare(0)
			}
			k := m.key()
			old := m.want[string(k)]
			off, data := edge(m.r), noise(m.r, []int{1, 20, edge(m.r)}[m.r.IntN(3)])
			if len(data) == 0 {
				continue
			}
			tx.LockAll()
			before := s.Changes()
			_, err := tx.WriteAt(0, k, int64(off), data)
			switch {
			case err == nil:
				m.want[string(k)] = written(old, off, data)
			case !errors.Is(err, ErrNoMemory):
				t.Fatal(err)
			default:
				failed++
				if s.Changes() != before {
					t.Fatal("what has failed counts as a change")
				}
			}
			m.look(tx, k)
			tx.Unlock()
			if i%100 == 0 {
				checkShards(t, s)
			}
		}
		t.Logf("mode %d: %d writes failed", mode, failed)
		if failed < 5 {
			t.Errorf("mode %d: only %d writes failed", mode, failed)
		}
		checkShards(t, s)
		h.drop()
		if v != nil {
			v.Close()
		}
		for k, want := range m.want {
			if got, _ := s.DB(0).Get([]byte(k)); !bytes.Equal(got, want) {
				t.Errorf("mode %d: %q differs", mode, k)
			}
		}
	}
}

// A loader brings a long string in parts.
func TestLoadLongString(t *testing.T) {
	s := openStore(t, Options{})
	r := rand.New(rand.NewPCG(3, 4))
	l := s.NewLoader()
	for i, sizes := range [][]int{{100_000}, {10, 20}, {40_000, 1, 500_000, 0, 7}, {1 << 20, 1 << 20, 99}, {100, 100_000}} {
		key := fmt.Append(nil, i)
		var want []byte
		for n, size := range sizes {
			part := noise(r, size)
			want = append(want, part...)
			if _, err := l.Add([]Record{{Key: key, Type: TypeString, Value: part, Append: n > 0, ExpireAt: 1 << 50}}, true); err != nil {
				t.Fatal(err)
			}
		}
		if got, ok := s.DB(0).Get(key); !ok || !bytes.Equal(got, want) {
			t.Errorf("%v: %d bytes, want %d", sizes, len(got), len(want))
		}
		if at, _ := s.DB(0).Expiry(key); at.UnixMilli() != 1<<50 {
			t.Errorf("%v: expires at %v", sizes, at)
		}
	}
}
