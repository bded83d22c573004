package command

import (
	"math"
	"math/rand/v2"

	"kvd/kv"
)

// maxRandom bounds how many elements one ZRANDMEMBER replies.
const maxRandom = 1 << 28

func cmdZrandmember(x *Ctx) {
	z := &x.zset.Zset
	if len(x.Args) == 2 {
		if !x.readZset(z, x.Args[1]) {
			return
		}
		if !z.Exists() {
			x.Null()
			return
		}
		x.walk(z, rand.Int64N(z.Len()), 1, false, func(e *kv.ZsetElement) { x.Bulk(e.Member) })
		return
	}
	count, ok := x.parseInt(x.Args[2])
	scores := len(x.Args) == 4
	switch {
	case !ok:
		return
	case count < -math.MaxInt64:
		x.Errf(errIntRange, -math.MaxInt64, math.MaxInt64)
		return
	case len(x.Args) > 4 || scores && !is(option(x.Args[3]), "withscores"):
		x.Err(errSyntax)
		return
	case scores && (count < -math.MaxInt64/2 || count > math.MaxInt64/2):
		x.Err(errOutOfRange)
		return
	}
	if x.readZset(z, x.Args[1]) {
		x.randomMembers(z, count, scores)
	}
}

// randomMembers replies count elements that differ, or all; with a negative count so many that may
// be the same.
func (x *Ctx) randomMembers(z *kv.Zset, count int64, scores bool) {
	length := z.Len()
	reply := func(e *kv.ZsetElement) { x.zsetElement(e, scores) }
	switch {
	case length == 0 || count == 0:
		x.Array(0)
	case count < -maxRandom:
		x.Err(errOutOfRange)
	case count < 0:
		x.zsetElements(-count, scores)
		for range -count {
			x.walk(z, rand.Int64N(length), 1, false, reply)
		}
	case count >= length:
		x.zsetElements(length, scores)
		x.walk(z, 0, length, false, reply)
	case count > length/3:
		// Each element is taken with the probability that leaves as many as are wanted.
		x.zsetElements(count, scores)
		left := length
		x.walk(z, 0, length, false, func(e *kv.ZsetElement) {
			if rand.Int64N(left) < count {
				reply(e)
				count--
			}
			left--
		})
	default:
		x.zsetElements(count, scores)
		seen := make(map[int64]struct{}, count)
		for int64(len(seen)) < count {
			rank := rand.Int64N(length)
			if _, again := seen[rank]; !again {
				seen[rank] = struct{}{}
				x.walk(z, rank, 1, false, reply)
			}
		}
	}
}
