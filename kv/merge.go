package kv

import (
	"bytes"
	"slices"

	"kvd/kv/internal/tree"
	"kvd/kv/packed"
)

// Merger goes through the members of several sets and sorted sets side by side. Their trees are all
// in the order of the members' hashes, so that each is read once, from left to right, and nothing
// is looked up or collected.
//
//	var m kv.Merger
//	m.AddSet(&a)
//	m.AddZset(&b)
//	for m.Next() {
//		m.Member() // of a, of b or of both
//	}
//
// The zero Merger has no sets. Sets of one block are copied and sorted first. It is valid until one
// of the sets is changed.
type Merger struct {
	sources []mergeSource
	key     []byte // of the present member: its hash and itself
}

// mergeSource is one set: a tree, or the list of a block.
type mergeSource struct {
	tree   bool
	scored bool
	cur    tree.Cursor
	list   []mergeItem
	key    []byte // of the next member; nil at the end
	score  float64
	hit    bool // it has the present member: key is that
}

type mergeItem struct {
	key   []byte
	score float64
}

// AddSet adds a set; one that does not exist is empty.
func (m *Merger) AddSet(s *Set) {
	src := mergeSource{}
	switch {
	case !s.c.exists:
	case s.c.isTree():
		src.tree, src.cur = true, s.c.tree(0).FromAt(0)
	default:
		var text []byte
		s.Each(func(v *packed.Value) bool {
			text = v.Append(text[:0])
			src.list = append(src.list, mergeItem{s.c.tx.s.appendHashKey(nil, text), 1})
			return true
		})
	}
	m.add(&src)
}

// AddZset adds a sorted set; one that does not exist is empty.
func (m *Merger) AddZset(z *Zset) {
	src := mergeSource{scored: true}
	switch {
	case z.Len() == 0:
	case z.c.isTree():
		src.tree, src.cur = true, z.c.tree(byMember).FromAt(0)
	default:
		for _, e := range listOfBlock(z.block()) {
			src.list = append(src.list, mergeItem{z.c.tx.s.appendHashKey(nil, e.Member), e.Score})
		}
	}
	m.add(&src)
}

func (m *Merger) add(src *mergeSource) {
	slices.SortFunc(src.list, func(a, b mergeItem) int { return bytes.Compare(a.key, b.key) })
	src.next()
	m.sources = append(m.sources, *src)
}

// next goes to the source's next member.
func (s *mergeSource) next() {
	switch {
	case s.tree:
		var r tree.Record
		if !s.cur.Next(&r) {
			s.key = nil
			return
		}
		if s.key = r.Key; s.scored {
			s.score = readScore(r.Value)
		} else {
			s.score = 1
		}
	case len(s.list) == 0:
		s.key = nil
	default:
		s.key, s.score = s.list[0].key, s.list[0].score
		s.list = s.list[1:]
	}
}

// Next goes to the next member that any of the sets has; false at the end.
func (m *Merger) Next() bool {
	m.key = nil
	for i := range m.sources {
		s := &m.sources[i]
		if s.hit {
			s.next()
			s.hit = false
		}
		if s.key == nil {
			continue
		}
		c := -1
		if m.key != nil {
			c = bytes.Compare(s.key, m.key)
		}
		if c > 0 {
			continue
		}
		if c < 0 {
			for j := range m.sources[:i] {
				m.sources[j].hit = false
			}
			m.key = s.key
		}
		s.hit = true
	}
	return m.key != nil
}

// Member returns the present member, borrowed from the store.
func (m *Merger) Member() []byte { return m.key[hashKeySize:len(m.key):len(m.key)] }

// Score returns the score of the present member in the i-th set that was added, which is 1 in a set that
// has no scores; ok is false if the member is not there.
func (m *Merger) Score(i int) (score float64, ok bool) {
	s := &m.sources[i]
	return s.score, s.hit
}
