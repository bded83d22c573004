package kv

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"testing"
)

// pinned is a pin and what it must show.
type pinned struct {
	*Pin
	want []byte // from the pin's position on
}

// pinModel is a store whose long strings are pinned.
type pinModel struct {
	stringModel
	pins []pinned
}

// pin takes a pin of part of a string, if it is long.
func (m *pinModel) pin() {
	k := m.key()
	want := m.want[string(k)]
	from := m.r.IntN(len(want) + 1)
	to := from + m.r.IntN(len(want)+1-from)
	tx := m.s.NewTx()
	tx.LockKey(k)
	p, ok := tx.Pin(0, k, int64(from), int64(to))
	tx.Unlock()
	if !ok {
		if len(want) > promoteAt {
			m.t.Fatalf("%q has %d bytes and is not pinned", k, len(want))
		}
		return
	}
	m.pins = append(m.pins, pinned{p, want[from:to]})
}

// read reads some of a pin and compares it. It returns false at its end.
func (m *pinModel) read(p *pinned) (more bool) {
	m.t.Helper()
	if p.Left() != int64(len(p.want)) {
		m.t.Fatalf("%d bytes are left of a pin, want %d", p.Left(), len(p.want))
	}
	rest, enough := p.want, m.r.IntN(10)
	for it := p.Pieces(); enough > 0 && it.Next(); enough-- {
		n := len(it.Bytes)
		if !bytes.HasPrefix(rest, it.Bytes) {
			m.t.Fatalf("the piece of %d bytes of a pin, %d before its end, is not what it was", n, len(rest))
		}
		rest = rest[n:]
	}
	if done := len(p.want) - len(rest); done > 0 {
		n := 1 + m.r.IntN(done)
		p.Skip(int64(n))
		p.want = p.want[n:]
	}
	return len(p.want) > 0
}

// all compares all that is left of all pins.
func (m *pinModel) all() {
	m.t.Helper()
	for _, p := range m.pins {
		rest := p.want
		for it := p.Pieces(); it.Next(); rest = rest[len(it.Bytes):] {
			if !bytes.HasPrefix(rest, it.Bytes) {
				m.t.Fatalf("a pin has changed %d bytes before its end", len(rest))
			}
		}
		if len(rest) > 0 {
			m.t.Fatalf("the pieces of a pin end %d bytes early", len(rest))
		}
	}
}

func (m *pinModel) release(i int) {
	m.pins[i].Release()
	m.pins[i].Release() // which does nothing
	last := len(m.pins) - 1
	m.pins[i] = m.pins[last]
	m.pins = m.pins[:last]
}

// clear empties the store in one of several ways.
func (m *pinModel) clear() {
	if m.r.IntN(2) == 0 {
		st := m.s.NewStage()
		st.Swap()
		st.Close()
		clear(m.want)
		return
	}
	tx := m.s.NewTx()
	tx.LockAll()
	if m.r.IntN(2) == 0 {
		tx.SwapDB(0, 1)
		tx.FlushDB(1)
	} else {
		tx.FlushAll()
	}
	tx.Unlock()
	clear(m.want)
}

// turn does something.
func (m *pinModel) turn() {
	switch n := m.r.IntN(20); {
	case n < 3:
		k, val := m.key(), noise(m.r, promoteAt+m.r.IntN(300_000))
		if err := m.s.DB(0).Set(k, val); err != nil {
			m.t.Fatal(err)
		}
		m.want[string(k)] = val
	case n < 6:
		m.pin()
	case n < 9 && len(m.pins) > 0:
		if i := m.r.IntN(len(m.pins)); !m.read(&m.pins[i]) {
			m.release(i)
		}
	case n == 9 && len(m.pins) > 0:
		m.release(m.r.IntN(len(m.pins)))
	case n == 10 && m.r.IntN(20) == 0:
		m.clear()
	default:
		m.step()
	}
}

// Pins show what was, whatever becomes of the strings, and beside the cuts of all engines.
func TestPinsAgainstModel(t *testing.T) {
	s := openStore(t, Options{Shards: 4})
	m := &pinModel{stringModel: stringModel{t: t, r: rand.New(rand.NewPCG(3, 4)), s: s, want: map[string][]byte{}}}
	cuts := []FreezeOptions{{}, {Mode: ModeThread}, {Mode: ModeCopy}, {Mode: ModeFork},
		{Mode: ModeFork, WritePolicy: WriteInPlace}, {Mode: ModeFork, WritePolicy: WritePathCopy}}
	for round := range 60 {
		o := cuts[round%len(cuts)]
		var v *View
		kept := maps.Clone(m.want) // no value is changed in place
		if o.Mode != 0 {
			var err error
			if v, err = s.Freeze(o); err != nil {
				t.Fatal(err)
			}
		}
		passed := false
		for i := range 50 {
			m.turn()
			if o.Mode == ModeThread && i == 25 && round%12 == 1 { // some shards are done
				v.Release(round / 12 % 4)
				passed = true
			}
		}
		m.all()
		mustCheck(t, s)
		if v != nil {
			if o.Mode == ModeCopy || o.WritePolicy == WritePathCopy || o.Mode == ModeThread && !passed {
				m.sameView(v, kept)
			}
			v.Close()
		}
		m.all()
		mustCheck(t, s)
	}
	for k, want := range m.want {
		if got, ok := s.DB(0).Get([]byte(k)); !ok || !bytes.Equal(got, want) {
			t.Errorf("%q has %d bytes, want %d", k, len(got), len(want))
		}
	}
	s.DB(0).Flush()
	m.all()
	if n, _ := s.LazyFree(); len(m.pins) > 0 && n == 0 {
		t.Error("what pins can reach has been freed")
	}
	for len(m.pins) > 0 {
		m.release(0)
	}
	noneLeft(t, s)
}

// noneLeft waits until an empty store has nothing left.
func noneLeft(t *testing.T, s *Store) {
	t.Helper()
	until(t, "all is freed", func() bool {
		m := s.Memory()
		return m.Freeing == 0 && m.Deferred == 0 && m.Entries == 0
	})
	mustCheck(t, s)
	if n := runBytes(s); n != 0 {
		t.Errorf("%d bytes of runs are left", n)
	}
}

func pinOf(t *testing.T, s *Store, key string, from, to int64) *Pin {
	t.Helper()
	tx := s.NewTx()
	tx.LockKey([]byte(key))
	defer tx.Unlock()
	p, ok := tx.Pin(0, []byte(key), from, to)
	if !ok {
		t.Fatalf("%s is not pinned", key)
	}
	return p
}

func write(t *testing.T, s *Store, key string, off int64, data []byte) {
	t.Helper()
	tx := s.NewTx()
	tx.LockKey([]byte(key))
	defer tx.Unlock()
	if _, err := tx.WriteAt(0, []byte(key), off, data); err != nil {
		t.Fatal(err)
	}
}

// Readers that overlap for ever hold back what each can reach, not all that was replaced.
func TestOverlappingPinsAreBounded(t *testing.T) {
	const size = 1 << 20
	s := openStore(t, Options{})
	s.DB(0).Set([]byte("k"), make([]byte, size))
	p := pinOf(t, s, "k", 0, size)
	for i := range 200 {
		data := bytes.Repeat([]byte{byte(i)}, size/4)
		write(t, s, "k", int64(i%4)*int64(len(data)), data)
		next := pinOf(t, s, "k", 0, size)
		p.Release()
		p = next
	}
	if m := s.Memory(); m.Deferred > 2*size {
		t.Errorf("%d bytes are held back", m.Deferred)
	}
	p.Release()
	s.DB(0).Delete([]byte("k"))
	noneLeft(t, s)
}

// A second write into a pinned string takes no more memory.
func TestPinKeepsOneCopy(t *testing.T) {
	const size = 1 << 20
	s := openStore(t, Options{})
	s.DB(0).Set([]byte("k"), bytes.Repeat([]byte{1}, size))
	p := pinOf(t, s, "k", 5, 10)
	if m := s.Memory(); m.Deferred != 0 {
		t.Errorf("a pin alone holds %d bytes back", m.Deferred)
	}
	write(t, s, "k", 7, []byte{2})
	once := s.Memory().Deferred
	for i := range 100 {
		write(t, s, "k", int64(i), []byte{3})
	}
	if m := s.Memory(); once < ChunkSize || m.Deferred != once {
		t.Errorf("%d bytes are held back after one write, %d after many", once, m.Deferred)
	}
	it := p.Pieces()
	if !it.Next() || string(it.Bytes) != "\x01\x01\x01\x01\x01" || it.Next() {
		t.Errorf("the pin shows %q", it.Bytes)
	}
	p.Release()
	until(t, "nothing is deferred", func() bool { return s.Memory().Deferred == 0 })
	mustCheck(t, s)
}

// Where no memory is left for copies a write is refused, and neither the string nor the pin has changed.
func TestPinWithoutMemory(t *testing.T) {
	s := openStore(t, Options{Reserve: 1 << 30, Shards: 1})
	val := bytes.Repeat([]byte("0123456789abcdef"), 2<<20/16)
	if err := s.DB(0).Set([]byte("k"), val); err != nil {
		t.Fatal(err)
	}
	p := pinOf(t, s, "k", 0, int64(len(val)))
	h := takeAll(s)
	tx := s.NewTx()
	tx.LockAll()
	want, refused := val, 0
	for i := range 200 {
		for range 2 { // less than most writes want
			h.spare(0)
		}
		off, data := i*10_000, bytes.Repeat([]byte{byte(i)}, 40_000)
		switch _, err := tx.WriteAt(0, []byte("k"), int64(off), data); {
		case err == nil:
			want = written(want, off, data)
		case errors.Is(err, ErrNoMemory):
			refused++
		default:
			t.Fatal(err)
		}
	}
	tx.Unlock()
	if refused == 0 || refused == 200 {
		t.Errorf("%d of 200 writes were refused", refused)
	}
	if got, _ := s.DB(0).Get([]byte("k")); !bytes.Equal(got, want) {
		t.Errorf("the string has %d bytes, want %d, or others", len(got), len(want))
	}
	m := pinModel{stringModel: stringModel{t: t}, pins: []pinned{{p, val}}}
	m.all()
	checkShards(t, s)
	h.drop()
	mustCheck(t, s)
	p.Release()
	s.DB(0).Flush()
	noneLeft(t, s)
}

func TestWhatIsNotPinned(t *testing.T) {
	s := openStore(t, Options{})
	s.DB(0).Set([]byte("short"), []byte("x"))
	s.DB(0).Set([]byte("chunks"), make([]byte, promoteAt))
	tx := s.NewTx()
	tx.LockAll()
	defer tx.Unlock()
	addMembers(t, tx, 0, "set", 0, 20_000)
	for _, key := range []string{"none", "short", "chunks", "set"} {
		if _, ok := tx.Pin(0, []byte(key), 0, 1); ok {
			t.Errorf("%s is pinned", key)
		}
	}
}
