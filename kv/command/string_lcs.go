package command

import (
	"kvd/kv"
	"kvd/kv/resp"
)

// lcsCell is what Redis takes for each pair of bytes; the limit on the memory
// of LCS is counted with it, although kvd needs one bit.
const lcsCell = 4

type lcsOptions struct {
	length, index, withLength bool
	minLength                 int64
}

// lcsTable tells how to walk back from the ends of two strings along a longest
// common subsequence: bit i*len(b)+j is set if, where a[i] and b[j] differ,
// the longest one up to there does without a[i].
type lcsTable struct {
	a, b []byte
	up   []uint64 // nil if only the length was asked for
}

// run fills the table and returns the length of the subsequence. It keeps two
// lines of lengths at a time.
func (t *lcsTable) run() int64 {
	above, line := make([]uint32, len(t.b)+1), make([]uint32, len(t.b)+1)
	for i, c := range t.a {
		bit := uint64(i) * uint64(len(t.b))
		for j, d := range t.b {
			switch {
			case c == d:
				line[j+1] = above[j] + 1
			case above[j+1] > line[j]:
				line[j+1] = above[j+1]
				if t.up != nil {
					t.up[(bit+uint64(j))/64] |= 1 << ((bit + uint64(j)) % 64)
				}
			default:
				line[j+1] = line[j]
			}
		}
		above, line = line, above
	}
	return int64(above[len(t.b)])
}

// lcsMatch is a run of n common bytes at a[a:] and b[b:].
type lcsMatch struct{ a, b, n int }

// matches calls fn for every run of common bytes, the last one first.
func (t *lcsTable) matches(fn func(m lcsMatch)) {
	i, j, m := len(t.a)-1, len(t.b)-1, lcsMatch{}
	flush := func() {
		if m.n > 0 {
			fn(m)
		}
		m.n = 0
	}
	for i >= 0 && j >= 0 {
		if t.a[i] == t.b[j] {
			m = lcsMatch{i, j, m.n + 1}
			i--
			j--
			continue
		}
		flush()
		bit := uint64(i)*uint64(len(t.b)) + uint64(j)
		if t.up[bit/64]>>(bit%64)&1 != 0 {
			i--
		} else {
			j--
		}
	}
	flush()
}

func cmdLcs(x *Ctx) {
	a, foundA := x.lookupRead(x.Args[1])
	b, foundB := x.lookupRead(x.Args[2])
	if foundA && a.Type != kv.TypeString || foundB && b.Type != kv.TypeString {
		x.Err(errLCSTypes)
		return
	}
	o, ok := x.parseLCS()
	if !ok {
		return
	}
	cells := uint64(stringLen(&a)+1) * uint64(stringLen(&b)+1)
	if cells*lcsCell > minBulkLimit && cells*lcsCell > uint64(x.Config.Int("proto-max-bulk-len")) {
		x.Err(errLCSMemory)
		return
	}
	t := lcsTable{a: x.contents(&a), b: x.contents(&b)}
	if o.index || !o.length {
		t.up = make([]uint64, (cells+63)/64)
	}
	n := t.run()
	switch {
	case o.index:
		x.replyLCSMatches(&t, o, n)
	case o.length:
		x.Int(n)
	default:
		out := make([]byte, n)
		t.matches(func(m lcsMatch) {
			n -= int64(m.n)
			copy(out[n:], t.a[m.a:m.a+m.n])
		})
		x.Bulk(out)
	}
}

func (x *Ctx) parseLCS() (o lcsOptions, ok bool) {
	for i := 3; i < len(x.Args); i++ {
		switch arg := option(x.Args[i]); {
		case is(arg, "idx"):
			o.index = true
		case is(arg, "len"):
			o.length = true
		case is(arg, "withmatchlen"):
			o.withLength = true
		case is(arg, "minmatchlen") && i+1 < len(x.Args):
			i++
			if o.minLength, ok = x.parseInt(x.Args[i]); !ok {
				return o, false
			}
		default:
			x.Err(errSyntax)
			return o, false
		}
	}
	if o.index && o.length {
		x.Err(errLCSBoth)
		return o, false
	}
	return o, true
}

func (x *Ctx) replyLCSMatches(t *lcsTable, o lcsOptions, length int64) {
	x.Map(2)
	x.BulkString("matches")
	at, count := len(x.Client.Out), 0
	t.matches(func(m lcsMatch) {
		if int64(m.n) < o.minLength {
			return
		}
		count++
		if o.withLength {
			x.Array(3)
		} else {
			x.Array(2)
		}
		for _, from := range [2]int{m.a, m.b} {
			x.Array(2)
			x.Int(int64(from))
			x.Int(int64(from + m.n - 1))
		}
		if o.withLength {
			x.Int(int64(m.n))
		}
	})
	var head [24]byte
	x.insert(at, resp.AppendArray(head[:0], count))
	x.BulkString("len")
	x.Int(length)
}

// insert puts head in front of what was appended to the reply since at: the
// head of an array whose length was not known.
func (x *Ctx) insert(at int, head []byte) {
	x.Client.Out = append(x.Client.Out, head...)
	copy(x.Client.Out[at+len(head):], x.Client.Out[at:])
	copy(x.Client.Out[at:], head)
}
