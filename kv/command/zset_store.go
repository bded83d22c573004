package command

import (
	"math"
	"slices"

	"kvd/kv"
	"kvd/kv/packed"
	"kvd/kv/resp"
)

// setOperation is what ZUNION, ZINTER and ZDIFF do.
type setOperation uint8

const (
	opUnion setOperation = iota
	opInter
	opDiff
)

// aggregate tells what becomes of the scores of a member that several sets have.
type aggregate uint8

const (
	aggregateSum aggregate = iota
	aggregateMin
	aggregateMax
)

// add returns the score for a member that has had the score f and is met again with g.
func (a aggregate) add(f, g float64) float64 {
	switch {
	case a == aggregateMin && g < f || a == aggregateMax && g > f:
		return g
	case a == aggregateSum:
		return zeroForNaN(f + g)
	}
	return f
}

// zeroForNaN is what Redis makes of inf - inf and of 0 * inf.
func zeroForNaN(f float64) float64 {
	if f != f {
		return 0
	}
	return f
}

// zsource is an input of ZUNION and the like: a sorted set, or a set, whose members have the score 1.
type zsource struct {
	zset   kv.Zset
	set    kv.Set
	isSet  bool
	weight float64
}

func (s *zsource) len() int64 {
	if s.isSet {
		return s.set.Len()
	}
	return s.zset.Len()
}

func (s *zsource) score(member []byte) (f float64, ok bool) {
	if s.isSet {
		return 1, s.set.Exists() && s.set.Has(member)
	}
	return s.zset.Score(member)
}

// each calls fn for every element until it returns false.
func (s *zsource) each(fn func(e *kv.ZsetElement) bool) {
	var e kv.ZsetElement
	if !s.isSet {
		for c := s.zset.At(0); c.Next(&e) && fn(&e); {
		}
		return
	}
	var text []byte
	s.set.Each(func(v *packed.Value) bool {
		text = v.Append(text[:0])
		e.Member, e.Score = text, 1
		return fn(&e)
	})
}

// zcombine is a ZUNION-like command.
type zcombine struct {
	op        setOperation
	store     bool
	cardinal  bool // ZINTERCARD
	sources   []zsource
	aggregate aggregate
	scores    bool
	limit     int64
}

func cmdZunion(x *Ctx)      { x.zcombine(zcombine{op: opUnion}) }
func cmdZinter(x *Ctx)      { x.zcombine(zcombine{op: opInter}) }
func cmdZdiff(x *Ctx)       { x.zcombine(zcombine{op: opDiff}) }
func cmdZintercard(x *Ctx)  { x.zcombine(zcombine{op: opInter, cardinal: true}) }
func cmdZunionstore(x *Ctx) { x.zcombine(zcombine{op: opUnion, store: true}) }
func cmdZinterstore(x *Ctx) { x.zcombine(zcombine{op: opInter, store: true}) }
func cmdZdiffstore(x *Ctx)  { x.zcombine(zcombine{op: opDiff, store: true}) }

func (x *Ctx) zcombine(z zcombine) {
	at := 1
	if z.store {
		at = 2
	}
	n, ok := x.parseInt(x.Args[at])
	rest := x.Args[at+1:]
	switch {
	case !ok:
		return
	case n < 1:
		x.Errf(errNoInputKey, x.Spec.Name)
		return
	case n > int64(len(rest)):
		x.Err(errSyntax)
		return
	}
	z.sources = make([]zsource, n)
	for i, key := range rest[:n] {
		if !x.openSource(&z.sources[i], key) {
			return
		}
	}
	if !x.parseCombine(&z, rest[n:]) {
		return
	}
	if z.op != opDiff {
		slices.SortStableFunc(z.sources, func(a, b zsource) int { return int(a.len() - b.len()) })
	}
	var list zsetList
	count := z.run(&list)
	switch {
	case z.cardinal:
		x.Int(count)
	case z.store:
		x.storeZset(x.Args[1], list.elements, 1)
	default:
		kv.SortZset(list.elements)
		x.zsetElements(int64(len(list.elements)), z.scores)
		for i := range list.elements {
			x.zsetElement(&list.elements[i], z.scores)
		}
	}
}

// openSource opens an input, or replies the error.
func (x *Ctx) openSource(s *zsource, key []byte) (ok bool) {
	s.weight = 1
	err := x.Tx.OpenZset(&s.zset, x.Client.db, key)
	if err == kv.ErrWrongType {
		s.isSet = true
		err = x.Tx.OpenSet(&s.set, x.Client.db, key)
	}
	if err == nil && !s.isSet && !s.zset.Exists() {
		x.miss()
	} else {
		x.hit()
	}
	if err != nil {
		x.Err(errWrongType)
	}
	return err == nil
}

// parseCombine reads the options behind the keys.
func (x *Ctx) parseCombine(z *zcombine, args [][]byte) (ok bool) {
	n := len(z.sources)
	weighted := z.op != opDiff && !z.cardinal
	for len(args) > 0 {
		switch arg := option(args[0]); {
		case weighted && len(args) > n && is(arg, "weights"):
			for i := range z.sources {
				if z.sources[i].weight, ok = x.parseFloat(args[1+i], errWeight); !ok {
					return false
				}
			}
			args = args[1+n:]
			continue
		case weighted && len(args) > 1 && is(arg, "aggregate"):
			switch how := option(args[1]); {
			case is(how, "sum"):
				z.aggregate = aggregateSum
			case is(how, "min"):
				z.aggregate = aggregateMin
			case is(how, "max"):
				z.aggregate = aggregateMax
			default:
				x.Err(errSyntax)
				return false
			}
			args = args[2:]
		case !z.store && !z.cardinal && is(arg, "withscores"):
			z.scores = true
			args = args[1:]
		case z.cardinal && len(args) > 1 && is(arg, "limit"):
			if z.limit, ok = resp.ParseInt(args[1]); !ok || z.limit < 0 {
				x.Err(errLimit)
				return false
			}
			args = args[2:]
		default:
			x.Err(errSyntax)
			return false
		}
	}
	return true
}

// run adds the result to list, unsorted; of ZINTERCARD it only returns the number.
func (z *zcombine) run(list *zsetList) (count int64) {
	if z.op == opUnion {
		z.union(list)
		return int64(len(list.elements))
	}
	first, others := &z.sources[0], z.sources[1:]
	if first.len() == 0 {
		return 0
	}
	limit := z.limit
	if limit == 0 {
		limit = math.MaxInt64
	}
	first.each(func(e *kv.ZsetElement) bool {
		score := e.Score
		if z.op == opInter {
			score = zeroForNaN(first.weight * score)
		}
		for i := range others {
			f, found := others[i].score(e.Member)
			if found != (z.op == opInter) {
				return true
			}
			if found {
				score = z.aggregate.add(score, f*others[i].weight)
			}
		}
		if count++; !z.cardinal {
			list.add(&kv.ZsetElement{Member: e.Member, Score: score})
		}
		return count < limit
	})
	return count
}

// union goes through all sources side by side; many of them are instead collected one by one, lest every
// member is compared with all.
func (z *zcombine) union(list *zsetList) {
	if len(z.sources) > mergeSets {
		z.collect(list)
		return
	}
	var m kv.Merger
	for i := range z.sources {
		if s := &z.sources[i]; s.isSet {
			m.AddSet(&s.set)
		} else {
			m.AddZset(&s.zset)
		}
	}
	for m.Next() {
		score, first := 0.0, true
		for i := range z.sources {
			f, ok := m.Score(i)
			if !ok {
				continue
			}
			f = zeroForNaN(z.sources[i].weight * f)
			if !first {
				f = z.aggregate.add(score, f)
			}
			score, first = f, false
		}
		list.add(&kv.ZsetElement{Member: m.Member(), Score: score})
	}
}

// collect is union by looking members up among those that there have been.
func (z *zcombine) collect(list *zsetList) {
	longest := &z.sources[len(z.sources)-1]
	places := make(map[string]int, longest.len())
	for i := range z.sources {
		s := &z.sources[i]
		s.each(func(e *kv.ZsetElement) bool {
			score := zeroForNaN(s.weight * e.Score)
			if at, found := places[string(e.Member)]; found {
				f := &list.elements[at].Score
				*f = z.aggregate.add(*f, score)
				return true
			}
			places[string(e.Member)] = len(list.elements)
			list.add(&kv.ZsetElement{Member: e.Member, Score: score})
			return true
		})
	}
}
