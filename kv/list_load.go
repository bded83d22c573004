package kv

import (
	"errors"

	"kvd/kv/internal/tree"
	"kvd/kv/packed"
)

// errListRecord is for a Record whose Value is not what Enc says. What reads dumps does
// not make such ones.
var errListRecord = errors.New("kv: a record of a list is damaged")

// loadList stores a record of a list, or adds it to what is there. A block within the
// limits is taken as it lies.
func (c *coll) loadList(r *Record) error {
	l := List{c: *c}
	err := l.load(r)
	*c = l.c
	return err
}

func (l *List) load(r *Record) error {
	if r.Enc == EncListpack && !l.c.exists && l.fitsBlock(int64(packed.Len(r.Value)), len(r.Value)) {
		return l.c.setPacked(EncListpack, r.Value)
	}
	if r.Enc == EncFlat {
		return l.loadFlat(r.Value)
	}
	return l.Push(Right, blockTexts(r.Value))
}

// loadFlat adds the elements of a record at the end.
func (l *List) loadFlat(b []byte) error {
	f, err := readFlat(TypeList, b, errListRecord)
	if err != nil {
		return err
	}
	switch {
	case l.isTree():
	case !l.c.exists && !l.fitsBlock(int64(f.n), len(b)+f.n*packedRoom):
		if err = l.c.makeBulkTrees(len(b)); err != nil {
			return err
		}
	default:
		elems := make([][]byte, 0, f.n)
		for off := 0; off < len(b); off = f.next(off) {
			elem, _ := f.at(off)
			elems = append(elems, elem)
		}
		return l.Push(Right, elems)
	}
	return firstError(l.append(&f), l.c.save())
}

// append adds elements at the end of the tree, which the caller saves.
func (l *List) append(f *flatValue) error {
	t := l.c.tree(0)
	var buf [8]byte
	if t.Count > 0 {
		for off := 0; off < len(f.b); off = f.next(off) {
			elem, _ := f.at(off)
			value, isInt := listRecord(&buf, elem)
			if err := t.InsertAt(t.Count, value, isInt); err != nil {
				return storeError(err)
			}
		}
		return nil
	}
	b := tree.NewBuilder(l.c.space(), shapes[TypeList][0])
	for off := 0; off < len(f.b); off = f.next(off) {
		elem, _ := f.at(off)
		value, isInt := listRecord(&buf, elem)
		if err := b.Add(nil, value, isInt); err != nil {
			b.Abort()
			return storeError(err)
		}
	}
	return l.c.built(0, b)
}

// blockTexts returns the elements of a listpack.
func blockTexts(b []byte) (elems [][]byte) {
	var text []byte // of the integers
	for at := packed.First(b); at >= 0; at = packed.Next(b, at) {
		v := packed.Get(b, at)
		if !v.IsInt {
			elems = append(elems, v.Text)
			continue
		}
		from := len(text)
		text = v.Append(text)
		elems = append(elems, text[from:len(text):len(text)])
	}
	return elems
}
