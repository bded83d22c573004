package kv

import (
	"math/rand/v2"
	"slices"

	"kvd/kv/internal/tree"
	"kvd/kv/packed"
)

// Random returns a member, each with the same probability. The set must not be empty. The
// member is borrowed.
func (s *Set) Random() packed.Value { return s.At(rand.Int64N(s.Len())) }

// Sample calls fn with count different members, every choice of them with the same
// probability; with all if there are no more.
func (s *Set) Sample(count int64, fn func(v *packed.Value)) {
	s.visitRuns(sampleRuns(s.Len(), count), fn)
}

// Pop removes count members, chosen as by Sample, after it has called fn with each. Each
// counts as a change. After ErrNoMemory some of them may not have been removed.
func (s *Set) Pop(count int64, fn func(v *packed.Value)) error {
	n := s.Len()
	count = min(count, n)
	if count <= 0 {
		return nil
	}
	runs := sampleRuns(n, count)
	s.visitRuns(runs, fn)
	s.c.tx.MarkChanged(count - 1)
	if rest := n - count; rest > 0 && rest*popRebuilds <= count {
		if done, err := s.rebuild(runs, n); done {
			return err
		}
	}
	return s.removeRuns(runs)
}

// popRebuilds: if at least so many times as many members are removed as are left, Redis makes
// a new set of these, which may be an intset where the old one was none.
const popRebuilds = 5

// rebuild makes the set, of n members, a new block of those that are not in runs. done is false
// if it is to stay what it is.
func (s *Set) rebuild(runs []setRun, n int64) (done bool, err error) {
	if !s.c.treed && s.c.enc == EncIntset {
		return false, nil
	}
	k := setBlock{lim: s.c.tx.s.Limits(), enc: EncIntset, b: packed.IntsetNew()}
	var text []byte
	from, full := int64(0), false
	for _, run := range append(runs, setRun{n, 0}) {
		s.visitRuns([]setRun{{from, run.from - from}}, func(v *packed.Value) {
			if !full {
				text = v.Append(text[:0])
				_, full = k.add(text)
			}
		})
		if full {
			return false, nil
		}
		from = run.from + run.n
	}
	return true, s.c.setPacked(k.enc, k.b)
}

// setRun is a range of ranks.
type setRun struct{ from, n int64 }

// sampleRuns chooses count of the ranks below n, as ascending runs. If it is more than
// half of them it chooses those that are left out.
func sampleRuns(n, count int64) (runs []setRun) {
	switch {
	case n == 0 || count <= 0:
		return nil
	case count >= n:
		return []setRun{{0, n}}
	case count*2 <= n:
		for _, r := range sampleRanks(n, count) {
			runs = append(runs, setRun{r, 1})
		}
		return runs
	}
	from := int64(0)
	for _, r := range append(sampleRanks(n, n-count), n) {
		if r > from {
			runs = append(runs, setRun{from, r - from})
		}
		from = r + 1
	}
	return runs
}

// sampleRanks chooses count <= n/2 of the ranks below n and sorts them.
func sampleRanks(n, count int64) []int64 {
	ranks := make([]int64, 0, count)
	if count <= n/8 { // Floyd's method
		seen := make(map[int64]struct{}, count)
		for i := n - count; i < n; i++ {
			r := rand.Int64N(i + 1)
			if _, twice := seen[r]; twice {
				r = i
			}
			seen[r] = struct{}{}
			ranks = append(ranks, r)
		}
		slices.Sort(ranks)
		return ranks
	}
	for r := int64(0); int64(len(ranks)) < count; r++ {
		if rand.Int64N(n-r) < count-int64(len(ranks)) {
			ranks = append(ranks, r)
		}
	}
	return ranks
}

// visitRuns calls fn with the members of runs.
func (s *Set) visitRuns(runs []setRun, fn func(v *packed.Value)) {
	if s.isTree() {
		t := s.c.tree(0)
		var r tree.Record
		var v packed.Value // it escapes to fn: one for all members
		for _, run := range runs {
			cur := t.FromAt(run.from)
			for range run.n {
				cur.Next(&r)
				v = setMember(&r)
				fn(&v)
			}
		}
		return
	}
	s.eachInRuns(runs, func(v *packed.Value, in bool) {
		if in {
			fn(v)
		}
	})
}

// eachInRuns calls fn with all members of a set in one block and tells whether they are in runs.
func (s *Set) eachInRuns(runs []setRun, fn func(v *packed.Value, in bool)) {
	rank := int64(0)
	s.Each(func(v *packed.Value) bool {
		for len(runs) > 0 && rank >= runs[0].from+runs[0].n {
			runs = runs[1:]
		}
		fn(v, len(runs) > 0 && rank >= runs[0].from)
		rank++
		return true
	})
}

// removeRuns removes the members of runs; that is one change.
func (s *Set) removeRuns(runs []setRun) error {
	if s.isTree() {
		t := s.c.tree(0)
		var err error
		for _, run := range slices.Backward(runs) {
			if err = t.DeleteRange(run.from, run.n); err != nil {
				break
			}
		}
		return firstError(storeError(err), s.saveTree())
	}
	k := s.block()
	k.len = 0
	if k.enc == EncIntset {
		k.b = packed.AppendIntset(k.b[:0])
	} else {
		k.b = packed.AppendNew(k.b[:0])
	}
	s.eachInRuns(runs, func(v *packed.Value, in bool) {
		switch {
		case in:
			return
		case k.enc == EncIntset:
			k.b, _ = packed.IntsetAdd(k.b, v.Int)
		case v.IsInt:
			k.b = packed.AppendInt(k.b, v.Int)
		default:
			k.b = packed.Append(k.b, v.Text)
		}
		k.len++
	})
	err := s.saveBlock(&k)
	s.c.tx.keep(k.b)
	return err
}
