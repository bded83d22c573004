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

// withStream runs fn with the stream at key, under its lock.
func withStream(t testing.TB, s *Store, key string, fn func(st *Stream)) {
	t.Helper()
	tx := s.NewTx()
	tx.LockKey([]byte(key))
	defer tx.Unlock()
	var st Stream
	if err := tx.OpenStream(&st, 0, []byte(key)); err != nil {
		t.Fatal(err)
	}
	fn(&st)
}

// checkStream verifies that all that is said of a stream in more than one place agrees.
func checkStream(t testing.TB, s *Stream) {
	t.Helper()
	var e StreamEntry
	n, last := int64(0), StreamID{}
	for it := s.Entries(StreamID{}, MaxStreamID, false); it.Next(&e); n++ {
		if n == 0 && e.ID != s.First || e.ID.Compare(last) <= 0 {
			t.Fatalf("entry %d is %v behind %v; first is said to be %v", n, e.ID, last, s.First)
		}
		last = e.ID
	}
	if n != s.Length || last.Compare(s.Last) > 0 || n == 0 && s.First != (StreamID{}) {
		t.Fatalf("%d entries up to %v, said: %+v", n, last, s.StreamInfo)
	}
	back, before := int64(0), MaxStreamID
	for it := s.Entries(StreamID{}, MaxStreamID, true); it.Next(&e); back++ {
		if e.ID.Compare(before) >= 0 {
			t.Fatalf("in reverse %v is behind %v", e.ID, before)
		}
		before = e.ID
	}
	if back != n {
		t.Fatalf("%d entries, in reverse %d", n, back)
	}
	checkGroups(t, s, true)
}

// checkGroups verifies the groups; whole says that there is nothing besides.
func checkGroups(t testing.TB, s *Stream, whole bool) {
	t.Helper()
	pending, owned, names := int64(0), int64(0), int64(0)
	var g StreamGroup
	for it := s.AllGroups(); it.Next(&g); {
		checkGroup(t, s, &g)
		pending, names = pending+g.Pending, names+g.Consumers
		var c StreamConsumer
		for consumers := s.Consumers(&g); consumers.Next(&c); {
			owned += c.Pending
		}
	}
	if pending != owned || whole && (pending != s.c.tree(streamPending).Count || owned != s.c.tree(streamOwned).Count || 2*names != s.c.tree(streamConsumers).Count) {
		t.Fatalf("%d pending, %d owned, %d consumers; in the trees %d, %d, %d", pending, owned, names,
			s.c.tree(streamPending).Count, s.c.tree(streamOwned).Count, s.c.tree(streamConsumers).Count)
	}
}

func checkGroup(t testing.TB, s *Stream, g *StreamGroup) {
	t.Helper()
	var p, own StreamPending
	for it := s.AllPending(g, StreamID{}); it.Next(&p); {
		name := s.ConsumerName(g, &p)
		var c StreamConsumer
		if name == nil || !s.Consumer(g, name, &c) || !p.Of(&c) {
			t.Fatalf("%s: %v is pending for nobody", g.Name, p.ID())
		}
		it := s.AllPendingOf(g, &c, p.ID())
		if !it.Next(&own) || own.ID() != p.ID() {
			t.Fatalf("%s: %s does not have %v", g.Name, name, p.ID())
		}
	}
}

// streamForm returns all of a stream in the form in which it is loaded, one slice for each part.
func streamForm(v *StreamView) (parts [][]byte) {
	num := func(b []byte, n ...uint64) []byte {
		for _, x := range n {
			b = binary.LittleEndian.AppendUint64(b, x)
		}
		return b
	}
	text := func(b, s []byte) []byte { return append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	var n StreamNode
	for it := v.AllNodes(); it.Next(&n); {
		parts = append(parts, text(append([]byte{StreamPartNode}, n.Key...), n.Listpack))
	}
	parts = append(parts, num([]byte{StreamPartHeader}, uint64(v.Length), v.Last.Ms, v.Last.Seq, v.First.Ms, v.First.Seq, v.MaxDeleted.Ms, v.MaxDeleted.Seq, v.Added))
	var g StreamGroup
	for groups := v.AllGroups(); groups.Next(&g); {
		parts = append(parts, num(text([]byte{StreamPartGroup}, g.Name), g.Last.Ms, g.Last.Seq, uint64(g.EntriesRead)))
		var p StreamPending
		for it := v.Pending(&g); it.Next(&p); {
			parts = append(parts, num(append([]byte{StreamPartPending}, p.Key...), uint64(p.DeliveredAt), uint64(p.Deliveries)))
		}
		var c StreamConsumer
		for consumers := v.Consumers(&g); consumers.Next(&c); {
			parts = append(parts, num(text([]byte{StreamPartConsumer}, c.Name), uint64(c.SeenAt)))
			for it := v.PendingOf(&g, &c); it.Next(&p); {
				parts = append(parts, append([]byte{StreamPartOwner}, p.Key...))
			}
		}
	}
	return append(parts, []byte{StreamPartEnd})
}

// streamBytes returns the form of the stream at key as a whole; nil if there is none.
func streamBytes(s *Store, key string) []byte {
	it, ok := s.peek(0, key)
	if !ok {
		return nil
	}
	v := it.Stream()
	return bytes.Join(streamForm(&v), nil)
}

// streamStep changes a stream at random.
type streamStepper struct {
	*rand.Rand
	now    int64
	failed int // for want of memory, which must be expected
	expect bool
}

func (r *streamStepper) id(s *Stream) StreamID {
	if r.IntN(10) == 0 {
		return StreamID{r.Uint64(), r.Uint64()}
	}
	return StreamID{s.Last.Ms - min(s.Last.Ms, uint64(r.IntN(60))), uint64(r.IntN(3))}
}

func (r *streamStepper) args() (args [][]byte) {
	for range 1 + r.IntN(3) {
		args = append(args, fmt.Appendf(nil, "f%d", r.IntN(3)), bytes.Repeat([]byte{byte('0' + r.IntN(40))}, r.IntN(30)))
	}
	return args
}

func (r *streamStepper) step(t testing.TB, s *Stream) {
	t.Helper()
	ok := func(err error) {
		t.Helper()
		if r.expect && errors.Is(err, ErrNoMemory) {
			r.failed++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	var g StreamGroup
	var c StreamConsumer
	name := fmt.Appendf(nil, "group%d", r.IntN(3))
	r.now++
	switch n := r.IntN(20); {
	case !s.Exists() || n < 8:
		ok(s.Append(StreamID{s.Last.Ms + uint64(r.IntN(2)), s.Last.Seq + 1}, r.args()))
	case n == 8:
		_, err := s.Remove([]StreamID{r.id(s), r.id(s), r.id(s)})
		ok(err)
	case n == 9:
		_, _, err := s.Trim(StreamTrim{ByID: r.IntN(2) == 0, MaxLen: max(s.Length-int64(r.IntN(30)), 0), MinID: r.id(s), Approx: r.IntN(2) == 0, Limit: int64(r.IntN(3) * 10)})
		ok(err)
	case !s.Group(name, &g):
		created, err := s.CreateGroup(name, r.id(s), int64(r.IntN(5))-1, &g)
		ok(err)
		if !created && err == nil {
			t.Fatal("the group was not there, and is not made")
		}
	case n == 10:
		if r.IntN(5) == 0 {
			ok(s.DestroyGroup(&g))
		}
	default:
		consumer := fmt.Appendf(nil, "consumer%d", r.IntN(4))
		if !s.Consumer(&g, consumer, &c) {
			err := s.CreateConsumer(&g, consumer, r.now, &c)
			if ok(err); err != nil {
				return
			}
		} else if n == 11 && r.IntN(3) == 0 {
			ok(s.DeleteConsumer(&g, &c))
			return
		}
		var e StreamEntry
		for it, left := s.Entries(r.id(s), MaxStreamID, false), r.IntN(8); left > 0 && it.Next(&e); left-- {
			err := s.Deliver(&g, &c, e.ID, &StreamPending{DeliveredAt: r.now, Deliveries: int64(left)})
			if ok(err); err != nil {
				break
			}
			if e.ID.Compare(g.Last) > 0 {
				s.Read(&g, e.ID)
			}
		}
		ok(s.PutGroup(&g))
		if n > 14 {
			_, err := s.Ack(&g, r.id(s))
			ok(err)
		}
	}
}

// Streams that are changed at random stay whole, and a cut keeps what they were.
func TestStreamChanges(t *testing.T) {
	s := openStore(t, Options{})
	l := DefaultLimits()
	l.StreamEntries, l.StreamBytes = 9, 300
	s.SetLimits(l)
	r := &streamStepper{Rand: rand.New(rand.NewPCG(5, 6))}
	var v *View
	was := map[string][]byte{}
	for i := range 6000 {
		key := fmt.Sprint("stream", r.IntN(3))
		withStream(t, s, key, func(st *Stream) {
			r.step(t, st)
			if err := st.Save(1); err != nil {
				t.Fatal(err)
			}
			if i%7 == 0 {
				checkStream(t, st)
			}
		})
		if i%200 != 0 {
			continue
		}
		mustCheck(t, s)
		if v != nil {
			if got := viewStreams(v); len(got) != len(was) {
				t.Fatalf("%d streams in the View, not %d", len(got), len(was))
			} else {
				for k, b := range was {
					if !bytes.Equal(got[k], b) {
						t.Fatalf("%s is not what it was at the cut", k)
					}
				}
			}
			_ = v.Close()
		}
		var err error
		if v, err = s.Freeze(FreezeOptions{Mode: ModeThread}); err != nil {
			t.Fatal(err)
		}
		clear(was)
		for n := range 3 {
			key := fmt.Sprint("stream", n)
			if b := streamBytes(s, key); b != nil {
				was[key] = b
			}
		}
	}
	_ = v.Close()
}

func viewStreams(v *View) map[string][]byte {
	all := map[string][]byte{}
	for shard := range v.Shards() {
		w := v.Walk(shard)
		for e := (Entry{}); w.Next(&e); {
			sv := e.Stream()
			all[string(e.Key)] = bytes.Join(streamForm(&sv), nil)
		}
	}
	return all
}

// randomStream makes a stream at key.
func randomStream(t testing.TB, s *Store, key string, seed uint64, steps int) {
	t.Helper()
	r := &streamStepper{Rand: rand.New(rand.NewPCG(seed, 7))}
	withStream(t, s, key, func(st *Stream) {
		for range steps {
			r.step(t, st)
		}
		if err := st.Save(1); err != nil {
			t.Fatal(err)
		}
	})
}

// What the saver reads of a stream allocates nothing.
func TestStreamViewAllocatesNothing(t *testing.T) {
	s := openStore(t, Options{})
	randomStream(t, s, "from", 4, 3000)
	v, err := s.Freeze(FreezeOptions{Mode: ModeThread})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	entries, pending := 0, 0
	allocs := allocations(5, func() {
		for shard := range v.Shards() {
			w := v.Walk(shard)
			for e := (Entry{}); w.Next(&e); {
				sv := e.Stream()
				n, p := readAll(&sv)
				entries, pending = entries+n, pending+p
			}
		}
	})
	if allocs != 0 || entries == 0 || pending == 0 {
		t.Errorf("%v allocations, %d entries, %d pending", allocs, entries, pending)
	}
}

// readAll goes through all of a stream.
func readAll(v *StreamView) (entries, pending int) {
	var n StreamNode
	for it := v.AllNodes(); it.Next(&n); {
		entries += len(n.Listpack)
	}
	var e StreamEntry
	var field, value packed.Value
	for it := v.Entries(); it.Next(&e); {
		for it.Field(&field, &value) {
			entries++
		}
	}
	var g StreamGroup
	for groups := v.AllGroups(); groups.Next(&g); {
		var p StreamPending
		for it := v.Pending(&g); it.Next(&p); {
			pending++
		}
		var c StreamConsumer
		for consumers := v.Consumers(&g); consumers.Next(&c); {
			for it := v.PendingOf(&g, &c); it.Next(&p); {
				pending++
			}
		}
	}
	return entries, pending
}

// Where there is no memory changes fail, and what is there stays whole.
func TestStreamWithoutMemory(t *testing.T) {
	s := openStore(t, Options{Reserve: 1 << 30, Shards: 2})
	for n := range 3 {
		randomStream(t, s, fmt.Sprint("stream", n), uint64(n), 2000)
	}
	v, err := s.Freeze(FreezeOptions{Mode: ModeThread})
	if err != nil {
		t.Fatal(err)
	}
	was := viewStreams(v)
	h := takeAll(s)
	r := &streamStepper{Rand: rand.New(rand.NewPCG(8, 8)), expect: true}
	for i := range 8000 {
		if i%30 == 0 {
			h.takeRest(h.heaps[0])
			h.spare(0)
		}
		withStream(t, s, fmt.Sprint("stream", i%3), func(st *Stream) {
			r.step(t, st)
			if err := st.Save(1); err != nil {
				t.Fatal(err)
			}
			if i%20 == 0 {
				checkGroups(t, st, false)
			}
		})
	}
	if r.failed < 100 {
		t.Errorf("only %d changes failed", r.failed)
	}
	for k, b := range viewStreams(v) {
		if !bytes.Equal(was[k], b) {
			t.Errorf("%s is not what it was at the cut", k)
		}
	}
	h.drop()
	_ = v.Close()
	mustCheck(t, s)
}
