package tree

import "kvd/kv/internal/arena"

// Builder makes a tree of records that come in order, with full nodes.
type Builder struct {
	t      Tree
	levels []*level
	last   []byte // the last key, while it decides on a separator
	buf    [recordMax]byte
}

// level is the node that is being filled at a level.
type level struct {
	page  page
	sep   []byte // its separator from the node before
	count int64
}

// NewBuilder returns a builder without records.
func NewBuilder(sp Space, s Shape) *Builder {
	return &Builder{t: Open(sp, s, Root{})}
}

// Add appends a record; its key must be greater than the last one's. On an error the
// record is not added; then, as always, either Root or Abort must follow.
func (b *Builder) Add(key, value []byte, flag bool) error {
	if err := b.t.ready(); err != nil {
		return err
	}
	r, err := b.t.encode(b.buf[:0], key, value, flag, 0, 0)
	if err != nil {
		return err
	}
	l, err := b.room(0, len(r.b), func() []byte { return separator(b.last, key) })
	if err != nil {
		b.t.discard(&r)
		return err
	}
	l.page.add(r.b, r.flags)
	l.count++
	b.t.Count++
	if b.t.shape.Keyed {
		b.last = append(b.last[:0], key...)
	}
	return nil
}

// room returns a level, its node flushed if it cannot take a record of n bytes more;
// sep makes the separator of the next.
func (b *Builder) room(i, n int, sep func() []byte) (*level, error) {
	if i == len(b.levels) {
		slotted, room := i > 0 || b.t.shape.Keyed, largePage
		if slotted {
			room = smallPage
		}
		b.levels = append(b.levels, new(level))
		b.levels[i].page.buf = make([]byte, room)
		b.levels[i].page.reset(slotted)
	}
	l := b.levels[i]
	if l.page.slotted {
		n += slotSize
	}
	size := l.page.size() + n
	if size <= maxNode || i == 0 && b.t.shape.fits(l.page.n+1, size) {
		return l, nil
	}
	end := l.page.n
	if !l.page.slotted && size > maxNode {
		nd := l.page.view(b.t.a, b.value(i))
		end = l.page.pack(&nd, 0, end, false)
	}
	if err := b.flush(i, end); err != nil {
		return nil, err
	}
	if l.page.slotted {
		l.sep = append(l.sep[:0], sep()...)
	}
	return l, nil
}

// flush makes a node of the first n records of a level, all if they have slots, and adds
// it to the level above.
func (b *Builder) flush(i, n int) error {
	l := b.levels[i]
	ref, err := b.make(i, n)
	if err != nil {
		return err
	}
	var far arena.Ref
	if len(l.sep) > sepMax {
		if far, err = b.t.far(l.sep); err != nil {
			b.t.retire(ref)
			return err
		}
	}
	size := childSize + len(l.sep)
	if far != 0 {
		size = childSize + stubSize
	}
	up, err := b.room(i+1, size, func() []byte { return l.sep })
	if err != nil {
		b.t.retire(ref)
		b.t.retire(far)
		return err
	}
	if up.page.n == 0 && far != 0 { // the first of a node needs none
		b.t.retire(far)
		far = 0
	}
	sep := l.sep
	if up.page.n == 0 {
		sep = nil
	}
	count := l.count
	if i == 0 {
		count = int64(n)
	}
	up.page.addChild(sep, far, ref, count)
	up.count += count
	l.count -= count
	if n < l.page.n {
		nd := l.page.view(b.t.a, b.value(i))
		l.page.shift(&nd, n)
	} else {
		l.page.reset(l.page.slotted)
	}
	return nil
}

// make writes the first n records of a level to a block.
func (b *Builder) make(i, n int) (arena.Ref, error) {
	g := &b.levels[i].page
	nd := g.view(b.t.a, b.value(i))
	size := g.nodeBytes(&nd, 0, n, false)
	ref, err := b.t.alloc(size)
	if err != nil {
		return 0, err
	}
	room := arena.RoundSize(size)
	block := b.t.a.Bytes(ref, room)
	g.write(block, &nd, 0, n, false)
	putHead(block, n, size, room)
	return ref, nil
}

func (b *Builder) value(level int) int {
	if level > 0 {
		return childSize
	}
	return b.t.shape.Value
}

// Root finishes the tree. On an error it can be tried again.
func (b *Builder) Root() (Root, error) {
	if b.t.Count == 0 {
		return Root{}, b.t.ready()
	}
	for i := 0; i < len(b.levels); i++ {
		l := b.levels[i]
		if l.page.n == 0 { // flushed by a call that failed above it
			continue
		}
		if i > 0 && i == len(b.levels)-1 && l.page.n == 1 {
			nd := l.page.view(b.t.a, childSize)
			b.t.Node, _ = nd.child(0)
			b.t.Height = uint8(i)
			break
		}
		if i == len(b.levels)-1 {
			ref, err := b.make(i, l.page.n)
			if err != nil {
				return Root{}, err
			}
			b.t.Node, b.t.Height = ref, uint8(i+1)
			break
		}
		if err := b.flush(i, l.page.n); err != nil {
			return Root{}, err
		}
	}
	b.levels = nil
	return b.t.Root, nil
}

// Abort frees what was made. After Root it does nothing.
func (b *Builder) Abort() {
	for i, l := range b.levels {
		nd := l.page.view(b.t.a, b.value(i))
		for k, off := 0, 0; k < nd.n; k++ {
			key, value := nd.farRefs(k, off)
			b.t.retire(key)
			b.t.retire(value)
			if i > 0 {
				ref, _ := nd.child(k)
				b.t.free(ref, i-1)
			}
			off = nd.after(k, off)
		}
	}
	b.levels = nil
}
