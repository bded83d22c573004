package snapshot

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kvd/kv"
	"kvd/kv/packed"
	"kvd/snapshot/internal/fork"
)

// bank is writers of big collections. What they do keeps, at each instant, to this:
//
//	a hash          its values have always the same sum; it is moved from one key to another
//	two zsets       each member is in one of them, and all scores have the same sum
//	list, stream    the stream tells what was pushed to the list and popped from it
//	a long string   it ends as it begins
//
// Half of what they add are small keys beside, so that segments split.
type bank struct {
	s    *kv.Store
	quit atomic.Bool
	rest atomic.Bool // while a dump is looked at: the stream would grow without end
	wg   sync.WaitGroup
	ops  atomic.Int64
}

const (
	bankFields  = 20_000
	bankMembers = 5_000
	bankString  = 1 << 20
	bankSum     = bankFields * 1000
)

func startBank(s *kv.Store) *bank {
	b := &bank{s: s}
	tx := s.NewTx()
	tx.LockAll()
	for i := range bankFields {
		must2(tx.HashSet(0, []byte("accounts:0"), field(i), []byte("1000")))
	}
	for _, name := range []string{"left", "right"} {
		var z kv.Zset
		must(tx.OpenZset(&z, 0, []byte(name)))
		for i := range bankMembers {
			if _, _, err := z.Add(fmt.Append(nil, name, i), float64(i), 0); err != nil {
				panic(err)
			}
		}
		must(z.Save(bankMembers))
	}
	must2(tx.WriteAt(0, []byte("long"), 0, make([]byte, bankString)))
	tx.Unlock()
	for w, fn := range []func(*rand.Rand){b.transfer, b.transfer, b.exchange, b.queue, b.ends, b.small} {
		b.wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 5))
			for !b.quit.Load() {
				if b.rest.Load() {
					time.Sleep(100 * time.Microsecond)
					continue
				}
				fn(r)
				if b.ops.Add(1)%4 == 0 {
					time.Sleep(50 * time.Microsecond) // or the saver, which is nice, never gets done
				}
			}
		})
	}
	return b
}

func (b *bank) stop() {
	b.quit.Store(true)
	b.wg.Wait()
}

func must2[T any](_ T, err error) { must(err) }

func field(i int) []byte { return strconv.AppendInt([]byte("account number "), int64(i), 10) }

func amountOf(v *packed.Value) int64 {
	if v.IsInt {
		return v.Int
	}
	n, err := strconv.ParseInt(string(v.Text), 10, 64)
	must(err)
	return n
}

// update is Update that cannot fail.
func (b *bank) update(fn func(tx *kv.Tx), keys ...string) {
	list := make([][]byte, len(keys))
	for i, k := range keys {
		list[i] = []byte(k)
	}
	must(b.s.Update(list, func(tx *kv.Tx) error { fn(tx); return nil }))
}

// transfer moves an amount from one account to another, opens one or closes it, and sometimes moves the
// whole hash.
func (b *bank) transfer(r *rand.Rand) {
	from, to := field(r.IntN(bankFields)), field(r.IntN(bankFields+2000))
	amount, rename := int64(r.IntN(200)), r.IntN(200) == 0
	b.update(func(tx *kv.Tx) {
		key, other := []byte("accounts:0"), []byte("accounts:1")
		if tx.Exists(0, other) {
			key, other = other, key
		}
		if rename {
			must(tx.Move(0, key, 0, other))
			key = other
		}
		var h kv.Hash
		must(tx.OpenHash(&h, 0, key))
		have, ok := h.Get(from)
		if !ok || string(from) == string(to) {
			return
		}
		n := amountOf(&have)
		if amount > 190 {
			amount = n // the account is closed
			must2(h.Delete(from))
		} else {
			must2(h.Set(from, strconv.AppendInt(nil, n-amount, 10), kv.NoExpiry))
		}
		if have, ok = h.Get(to); ok {
			amount += amountOf(&have)
		}
		must2(h.Set(to, strconv.AppendInt(nil, amount, 10), kv.NoExpiry))
		must(h.Save())
	}, "accounts:0", "accounts:1")
}

// exchange moves a member from one sorted set to the other and a part of its score to another member.
func (b *bank) exchange(r *rand.Rand) {
	names := []string{"left", "right"}
	member := fmt.Append(nil, names[r.IntN(2)], r.IntN(bankMembers))
	other := fmt.Append(nil, names[r.IntN(2)], r.IntN(bankMembers))
	amount := float64(r.IntN(1000))
	b.update(func(tx *kv.Tx) {
		var sets [2]kv.Zset
		for i := range sets {
			must(tx.OpenZset(&sets[i], 0, []byte(names[i])))
		}
		for i := range sets {
			score, ok := sets[i].Score(member)
			if !ok || string(member) == string(other) {
				continue
			}
			must2(sets[i].Remove(member))
			add(&sets[1-i], member, score-amount)
			for k := range sets {
				if score, ok := sets[k].Score(other); ok {
					add(&sets[k], other, score+amount)
				}
			}
			break
		}
		for i := range sets {
			must(sets[i].Save(1))
		}
	}, names...)
}

func add(z *kv.Zset, member []byte, score float64) {
	if _, _, err := z.Add(member, score, 0); err != nil {
		panic(err)
	}
}

// queue pushes to a list, or pops from it, and tells of it in a stream.
func (b *bank) queue(r *rand.Rand) {
	push := r.IntN(5) < 3
	b.update(func(tx *kv.Tx) {
		var l kv.List
		var s kv.Stream
		must(tx.OpenList(&l, 0, []byte("list")))
		must(tx.OpenStream(&s, 0, []byte("stream")))
		id := kv.StreamID{Ms: s.Last.Ms + 1}
		elem := strconv.AppendUint([]byte("element "), id.Ms, 10)
		what := []byte("push")
		if push || l.Len() == 0 {
			must(l.Push(kv.Right, [][]byte{elem}))
		} else {
			first, _ := l.At(0)
			elem, what = first.Append(nil), []byte("pop")
			must(l.Pop(kv.Left, 1))
		}
		must(s.Append(id, [][]byte{[]byte("what"), what, []byte("element"), elem}))
		must(s.Save(1))
	}, "list", "stream")
}

// ends writes the same at the start and at the end of a long string.
func (b *bank) ends(r *rand.Rand) {
	mark := binary.LittleEndian.AppendUint64(nil, r.Uint64())
	b.update(func(tx *kv.Tx) {
		must2(tx.WriteAt(0, []byte("long"), 0, mark))
		must2(tx.WriteAt(0, []byte("long"), bankString-8, mark))
	}, "long")
}

func (b *bank) small(r *rand.Rand) {
	key := fmt.Sprint("small:", r.IntN(100_000))
	b.update(func(tx *kv.Tx) {
		must(tx.SetString(1, []byte(key), []byte(key), kv.EncEmbstr, 0))
	}, key)
}

// verifyBank checks what a dump must hold.
func verifyBank(t *testing.T, path string) {
	t.Helper()
	s, err := kv.Open(kv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := Load(context.Background(), s, path, LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	tx := s.NewTx()
	tx.LockAll()
	defer tx.Unlock()
	each := func(key string, fn func(e *kv.Element)) {
		if it, ok := tx.Peek(0, []byte(key)); ok {
			var e kv.Element
			for elems := it.Elements(); elems.Next(&e); {
				fn(&e)
			}
		}
	}
	sum, hashes := int64(0), 0
	for _, key := range []string{"accounts:0", "accounts:1"} {
		if tx.Exists(0, []byte(key)) {
			hashes++
		}
		each(key, func(e *kv.Element) { sum += amountOf(&e.Value) })
	}
	if sum != bankSum || hashes != 1 {
		t.Errorf("%d hashes whose values have the sum %d, want %d", hashes, sum, bankSum)
	}
	members, scores := map[string]bool{}, 0.0
	for _, key := range []string{"left", "right"} {
		each(key, func(e *kv.Element) {
			members[string(e.Member.Append(nil))] = true
			scores += e.Score
		})
	}
	if want := float64(bankMembers * (bankMembers - 1)); len(members) != 2*bankMembers || scores != want {
		t.Errorf("%d members with the sum %v, want %v", len(members), scores, want)
	}
	verifyQueue(t, tx, each)
	it, _ := tx.Peek(0, []byte("long"))
	if text := text(&it); len(text) != bankString || text[:8] != text[bankString-8:] {
		t.Errorf("a string of %d bytes begins with %x and ends with %x", len(text), text[:8], text[len(text)-8:])
	}
}

// verifyQueue compares the list with what the stream tells of it.
func verifyQueue(t *testing.T, tx *kv.Tx, each func(string, func(*kv.Element))) {
	t.Helper()
	var want []string
	if it, ok := tx.Peek(0, []byte("stream")); ok {
		v := it.Stream()
		var e kv.StreamEntry
		var name, value packed.Value
		for entries := v.Entries(); entries.Next(&e); {
			var what, elem string
			for entries.Field(&name, &value) {
				if string(name.Append(nil)) == "what" {
					what = string(value.Append(nil))
				} else {
					elem = string(value.Append(nil))
				}
			}
			switch {
			case what == "push":
				want = append(want, elem)
			case len(want) == 0 || want[0] != elem:
				t.Fatalf("the stream tells of a pop of %q", elem)
			default:
				want = want[1:]
			}
		}
	}
	i := 0
	each("list", func(e *kv.Element) {
		if got := string(e.Member.Append(nil)); i >= len(want) || want[i] != got {
			t.Fatalf("the list has %q at %d of %d", got, i, len(want))
		}
		i++
	})
	if i != len(want) {
		t.Errorf("the list has %d elements, the stream tells of %d", i, len(want))
	}
}

// TestCutOfCollections: under load a dump is the state at one instant, also inside of big collections and
// between them.
func TestCutOfCollections(t *testing.T) {
	d, least := 300*time.Millisecond, 3
	if os.Getenv("KVD_LONG") == "1" {
		d, least = time.Minute, 50
	}
	for _, engine := range engines() {
		for _, policy := range []kv.WritePolicy{kv.WriteValues, kv.WriteInPlace, kv.WritePathCopy} {
			if engine != Fork && policy != kv.WriteValues {
				continue
			}
			t.Run(fmt.Sprint(engine, "/", policy), func(t *testing.T) {
				s := openStore(t, kv.Options{})
				b := startBank(s)
				defer b.stop()
				forker := fork.New()
				defer forker.Close()
				path := filepath.Join(t.TempDir(), "dump.rdb")
				saves := 0
				for end := time.Now().Add(d); time.Now().Before(end) || saves < least; saves++ {
					sv, err := begin(s, path, Options{Engine: engine, Threads: 2, WritePolicy: policy}, forker)
					if err != nil {
						t.Fatal(err)
					}
					if before := b.ops.Load(); engine != Foreground { // for which they wait
						within(t, "some writes beside the View", func() bool { return b.ops.Load() >= before+20 })
					}
					if _, err := sv.finish(context.Background()); err != nil {
						t.Fatal(err)
					}
					b.rest.Store(true)
					verifyBank(t, path)
					b.rest.Store(false)
				}
				t.Logf("%d saves, %d writes", saves, b.ops.Load())
			})
		}
	}
}
