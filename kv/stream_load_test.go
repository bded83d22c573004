package kv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"kvd/kv/packed"
)

// loadParts loads parts, cut into Records at random, as the stream at key.
func loadParts(s *Store, key string, parts [][]byte, r *rand.Rand) error {
	tx := s.NewTx()
	tx.LockKey([]byte(key))
	defer tx.Unlock()
	rec := Record{Key: []byte(key), Type: TypeStream, Enc: EncStream}
	for i, p := range parts {
		rec.Value = append(rec.Value, p...)
		if i+1 < len(parts) && r.IntN(4) > 0 {
			continue
		}
		if err := tx.Load(&rec, true); err != nil {
			return err
		}
		rec.Value, rec.Append = rec.Value[:0], true
	}
	return nil
}

func TestLoadStream(t *testing.T) {
	s := openStore(t, Options{})
	l := DefaultLimits()
	l.StreamEntries = 7
	s.SetLimits(l)
	r := rand.New(rand.NewPCG(1, 2))
	for seed := range uint64(60) {
		randomStream(t, s, "from", seed, 300)
		it, _ := s.peek(0, "from")
		v := it.Stream()
		if err := loadParts(s, "to", streamForm(&v), r); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(streamBytes(s, "to"), streamBytes(s, "from")) {
			t.Fatalf("seed %d: what was loaded is another stream", seed)
		}
		withStream(t, s, "to", func(st *Stream) {
			checkStream(t, st)
			steps := &streamStepper{Rand: r}
			for range 100 {
				steps.step(t, st)
			}
			if err := st.Save(1); err != nil {
				t.Fatal(err)
			}
			checkStream(t, st)
		})
		mustCheck(t, s)
	}
}

// old returns the parts as RDB type 15 has them.
func oldStreamForm(parts [][]byte) (old [][]byte) {
	for _, p := range parts {
		switch p[0] {
		case StreamPartHeader:
			p = append([]byte{StreamPartHeaderOld}, p[1:25]...)
		case StreamPartGroup:
			p = append([]byte{StreamPartGroupOld}, p[1:len(p)-8]...)
		}
		old = append(old, p)
	}
	return old
}

func TestLoadOldStream(t *testing.T) {
	s := openStore(t, Options{})
	var g StreamGroup
	withStream(t, s, "from", func(st *Stream) {
		for i := range uint64(10) {
			if err := st.Append(StreamID{i + 1, 0}, [][]byte{[]byte("a"), []byte("b")}); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := st.Trim(StreamTrim{MaxLen: 6}); err != nil {
			t.Fatal(err)
		}
		for i, last := range []StreamID{{}, {5, 0}, {7, 0}, {10, 0}} {
			if _, err := st.CreateGroup(fmt.Append(nil, i), last, UnknownEntriesRead, &g); err != nil {
				t.Fatal(err)
			}
		}
		if err := st.Save(1); err != nil {
			t.Fatal(err)
		}
	})
	it, _ := s.peek(0, "from")
	v := it.Stream()
	if err := loadParts(s, "to", oldStreamForm(streamForm(&v)), rand.New(rand.NewPCG(1, 1))); err != nil {
		t.Fatal(err)
	}
	withStream(t, s, "to", func(st *Stream) {
		if st.Length != 6 || st.Added != 6 || st.First != (StreamID{5, 0}) || st.Last != (StreamID{10, 0}) {
			t.Errorf("%+v", st.StreamInfo)
		}
		groups := st.AllGroups()
		for i, read := range []int64{0, 1, UnknownEntriesRead, 6} {
			if groups.Next(&g); g.EntriesRead != read {
				t.Errorf("group %d has read %d, not %d", i, g.EntriesRead, read)
			}
		}
	})
}

// Streams that are not well formed are refused, and nothing is left of them.
func TestLoadMalformedStream(t *testing.T) {
	s := openStore(t, Options{})
	randomStream(t, s, "from", 3, 200)
	it, _ := s.peek(0, "from")
	v := it.Stream()
	form := streamForm(&v)
	at := func(kind byte) int {
		for i, p := range form {
			if p[0] == kind {
				return i
			}
		}
		t.Fatalf("no part %c", kind)
		return 0
	}
	kinds := []byte{StreamPartNode, StreamPartHeader, StreamPartGroup, StreamPartPending, StreamPartConsumer, StreamPartOwner}
	for _, kind := range kinds {
		i := at(kind)
		variants := map[string][][]byte{
			"twice":     append(append(append([][]byte{}, form[:i+1]...), form[i]), form[i+1:]...),
			"cut short": append(append([][]byte{}, form[:i]...), form[i][:len(form[i])-1]),
			"at end":    append(append([][]byte{}, form...), form[i]),
		}
		if kind != StreamPartGroup && kind != StreamPartConsumer && kind != StreamPartNode {
			variants["missing"] = append(append([][]byte{}, form[:i]...), form[i+1:]...)
		}
		for name, parts := range variants {
			if err := loadParts(s, "to", parts, rand.New(rand.NewPCG(1, 1))); !errors.Is(err, ErrStream) {
				t.Errorf("%c %s: %v", kind, name, err)
			}
			if _, ok := s.peek(0, "to"); ok {
				t.Errorf("%c %s: something is left", kind, name)
			}
		}
	}
	mustCheck(t, s)
}

// FuzzLoadStream loads bytes of unknown origin: they are refused, or make a stream that is
// whole and can be changed.
func FuzzLoadStream(f *testing.F) {
	s, err := Open(Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	for seed := range uint64(6) {
		randomStream(f, s, "from", seed, 40)
		f.Add(streamBytes(s, "from"), uint64(0))
	}
	f.Fuzz(func(t *testing.T, b []byte, mutate uint64) {
		b = bytes.Clone(b)
		for ; mutate != 0 && len(b) > 0; mutate >>= 20 { // more of it than the fuzzer does at a time
			b[mutate>>8&0xfff%uint64(len(b))] = byte(mutate)
		}
		if err := loadParts(s, "to", [][]byte{b}, rand.New(rand.NewPCG(1, 1))); err != nil {
			if _, ok := s.peek(0, "to"); ok || !errors.Is(err, ErrStream) {
				t.Fatal(err, "; something is left: ", ok)
			}
			return
		}
		withStream(t, s, "to", func(st *Stream) {
			if getUint32(st.c.tail()[streamLoading:]) == streamComplete {
				checkStream(t, st)
			}
			steps := &streamStepper{Rand: rand.New(rand.NewPCG(1, uint64(len(b))))}
			for range 20 {
				if last := st.Last; last.Seq < 1<<63 && last.Ms < 1<<63 {
					steps.step(t, st)
				}
			}
			if err := st.Save(1); err != nil {
				t.Fatal(err)
			}
		})
	})
}

// hostileNode returns a listpack whose elements are those of a node but for some changes.
func hostileNode(r *rand.Rand, lp []byte) []byte {
	var elems [][]byte
	for at := packed.First(lp); at >= 0; at = packed.Next(lp, at) {
		v := packed.Get(lp, at)
		elems = append(elems, v.Append(nil))
	}
	for range 1 + r.IntN(3) {
		i := r.IntN(len(elems))
		switch r.IntN(5) {
		case 0:
			elems[i] = elems[r.IntN(len(elems))]
		case 1:
			elems = append(elems[:i:i], elems[i+1:]...)
		case 2:
			elems = append(elems[:i+1:i+1], elems[i:]...)
		case 3:
			elems[i] = fmt.Append(nil, r.Int64()>>r.IntN(64))
		default:
			elems[i] = fmt.Append(nil, r.IntN(12)-3)
		}
		if len(elems) == 0 {
			break
		}
	}
	b := packed.NewListpack()
	for _, e := range elems {
		b = packed.Append(b, e)
	}
	return b
}

// Listpacks that are well formed but are no nodes are refused; what is taken is whole.
func TestHostileNodes(t *testing.T) {
	s := openStore(t, Options{})
	r := rand.New(rand.NewPCG(3, 9))
	randomStream(t, s, "from", 8, 400)
	it, _ := s.peek(0, "from")
	v := it.Stream()
	var nodes [][2][]byte
	var n StreamNode
	for it := v.AllNodes(); it.Next(&n); {
		nodes = append(nodes, [2][]byte{bytes.Clone(n.Key), bytes.Clone(n.Listpack)})
	}
	taken, refused := 0, 0
	for range 20_000 {
		node := nodes[r.IntN(len(nodes))]
		lp := hostileNode(r, node[1])
		live, top, ok := validStreamNode(node[0], lp, StreamID{})
		if !ok {
			refused++
			continue
		}
		taken++
		part := append([]byte{StreamPartNode}, node[0]...)
		part = append(binary.AppendUvarint(part, uint64(len(lp))), lp...)
		header := []byte{StreamPartHeader}
		for _, x := range []uint64{uint64(live), top.Ms, top.Seq, 0, 0, 0, 0, 0} {
			header = binary.LittleEndian.AppendUint64(header, x)
		}
		if err := loadParts(s, "to", [][]byte{part, header, {StreamPartEnd}}, r); err != nil {
			t.Fatal(err)
		}
		withStream(t, s, "to", func(st *Stream) {
			checkStream(t, st)
			if _, _, err := st.Trim(StreamTrim{MaxLen: st.Length / 2}); err != nil {
				t.Fatal(err)
			}
			if _, err := st.Remove([]StreamID{st.First, top}); err != nil {
				t.Fatal(err)
			}
			checkStream(t, st)
			if err := st.Save(1); err != nil {
				t.Fatal(err)
			}
		})
	}
	if taken < 100 || refused < 100 {
		t.Errorf("%d were taken, %d refused", taken, refused)
	}
	mustCheck(t, s)
}
