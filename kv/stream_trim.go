package kv

import (
	"kvd/kv/internal/tree"
	"kvd/kv/packed"
)

// StreamTrim says what is to go from the beginning of a stream.
type StreamTrim struct {
	ByID   bool
	MaxLen int64    // the entries that may stay
	MinID  StreamID // with ByID: entries below it go
	Approx bool     // only nodes all of whose entries may go
	Limit  int64    // with Approx: at most that many entries go; 0: no limit
}

// Trim deletes entries from the beginning of the stream and returns their number. It does what
// Redis does, node by node, so that what an approximate trim leaves is the same. changed tells
// whether Save must follow: nodes go too that have nothing but deleted entries.
func (s *Stream) Trim(o StreamTrim) (deleted int64, changed bool, err error) {
	t := s.c.tree(streamEntries)
	var r tree.Record
	rest := s.Length
	nodes, within := int64(0), false
	for c := t.FromAt(0); c.Next(&r); nodes++ {
		n := readStreamNode(r.Key, r.Value)
		if !o.ByID && rest <= o.MaxLen || o.Limit > 0 && deleted+n.count > o.Limit {
			break
		}
		if !o.wholeNode(&n, rest) {
			within = !o.Approx
			break
		}
		deleted += n.count
		rest -= n.count
	}
	if nodes > 0 {
		if err := t.DeleteRange(0, nodes); err != nil {
			return 0, false, storeError(err)
		}
		s.Length, changed = rest, true
	}
	if within {
		var n int64
		n, err = s.trimFirst(t, &o)
		deleted += n
		changed = changed || n > 0
	}
	if deleted > 0 {
		s.findFirst()
	}
	return deleted, changed, err
}

// wholeNode tells whether all of a node goes, before which rest entries are left.
func (o *StreamTrim) wholeNode(n *streamNode, rest int64) bool {
	if !o.ByID {
		return rest-n.count >= o.MaxLen
	}
	at := n.last()
	if at < 0 {
		return true
	}
	last := n.entry(at)
	return last.id.Compare(o.MinID) < 0
}

// trimFirst marks entries of the first node as deleted, not all of them.
func (s *Stream) trimFirst(t *tree.Tree, o *StreamTrim) (deleted int64, err error) {
	r, ok := t.At(0)
	if !ok {
		return 0, nil
	}
	n := readStreamNode(r.Key, r.Value)
	tx := s.c.tx
	b := append(tx.scratch(), n.lp...)
	defer func() { tx.keep(b) }()
	shift := 0 // what is in n at an offset is in b that much further on
	for at := n.first(); at >= 0; {
		e := n.entry(at)
		if o.ByID && e.id.Compare(o.MinID) >= 0 || !o.ByID && s.Length-deleted <= o.MaxLen {
			break
		}
		if e.flags&streamDeleted == 0 {
			b = packed.ReplaceInt(b, e.at+shift, e.flags|streamDeleted)
			shift = len(b) - len(n.lp)
			deleted++
		}
		at = n.next(&e)
	}
	if deleted == 0 {
		return 0, nil
	}
	b = n.recount(b, -deleted)
	if err = t.SetAt(0, b, false); err != nil {
		return 0, storeError(err)
	}
	s.Length -= deleted
	return deleted, nil
}
