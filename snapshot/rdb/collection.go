package rdb

import (
	"encoding/binary"
	"hash/maphash"
	"math"
	"strconv"
)

// This file reads the values of collections, and cuts big ones into pieces.

// value is a collection on its way from the file into pieces.
type value struct {
	typ     Type
	class   Class
	form    Form
	open    bool   // more of it comes
	asIs    bool   // it is one block, which goes to the store as it lies: elem holds it
	left    uint64 // elements, or nodes of a quicklist, that have not been read
	count   uint64 // elements that were
	block   block  // what is being taken apart
	grows   bool   // pieces may have more than pieceSize
	piece   int    // the capacity of the last one
	minTTL  uint64 // TypeHashMetadata: what expiries are relative to
	stream  streamState
	members map[[2]uint64]struct{} // DecoderOptions.Unique: the elements' hashes
}

// collectionKey reads the key and the first piece of a value of type t.
func (d *Decoder) collectionKey(ev *Event, t Type) error {
	ev.Kind, ev.Type = KindKey, t
	d.place.doing = doingKey
	if err := d.str(&d.key); err != nil {
		return d.wrap(err, "key with a value of type "+strconv.Quote(t.NameIn(d.version)))
	}
	d.place.doing, d.place.hasKey = doingValue, true
	d.ownKey()
	start := d.Offset()
	err := d.openValue(t)
	d.val.grows = d.val.form != FormStream
	if err == nil {
		err = d.nextPiece(ev)
	}
	ev.ValueLen = d.Offset() - start
	return err
}

// checkValue reads a whole value and keeps nothing of it.
func (d *Decoder) checkValue(t Type) error {
	d.ownKey()
	err := d.openValue(t)
	var ev Event
	for d.val.open && err == nil {
		err = d.nextPiece(&ev)
	}
	return err
}

// morePieces goes on with the value of the key before.
func (d *Decoder) morePieces(ev *Event) error {
	*ev = Event{Kind: KindMore, Type: d.val.typ, DB: d.db, Start: d.Offset()}
	return d.nextPiece(ev)
}

// nextPiece reads the next piece of the open value into ev.
func (d *Decoder) nextPiece(ev *Event) error {
	v := &d.val
	ev.Key, ev.Form = d.bytes(&d.key), v.form
	if v.asIs {
		v.open = false
		ev.Value = d.bytes(&d.elem)
		ev.Empty, ev.Elements = v.count == 0, v.count
		return nil
	}
	if cap(d.piece) > keepBuffer && !d.lent && v.count == 0 {
		d.piece = nil
	}
	d.piece = d.piece[:0]
	start, first := d.Offset(), v.count
	if first > 0 && d.lent && v.grows && cap(d.piece) < min(v.piece, pieceMax) {
		d.growPiece(min(v.piece, pieceMax+pieceRoom)) // as much has come before
	}
	d.lent = false
	for v.open && (len(d.piece) < pieceSize || v.mayGrow(len(d.piece), d.Offset()-start, v.count-first)) {
		if n := cap(d.piece); n < pieceMax && n-len(d.piece) < pieceRoom && len(d.piece) >= pieceSize-2*pieceRoom {
			d.growPiece(min(4*len(d.piece), pieceMax) + pieceRoom)
		}
		if err := d.step(); err != nil {
			v.open = false
			return d.wrap(err, "value of type "+strconv.Quote(v.typ.NameIn(d.version))+" of key "+quoteKey(d.bytes(&d.key)))
		}
	}
	v.piece = cap(d.piece)
	ev.Value, ev.More, ev.Elements = d.piece, v.open, v.count
	ev.Empty = v.count == 0 && !v.open
	return nil
}

// growPiece makes room for n bytes in the piece: append would take smaller steps, and clear what it takes.
func (d *Decoder) growPiece(n int) {
	grown := make([]byte, len(d.piece), n)
	copy(grown, d.piece)
	d.piece = grown
}

// mayGrow tells whether a piece of n bytes and so many elements, which took so many bytes of the
// file, may become larger.
func (v *value) mayGrow(n int, took int64, elements uint64) bool {
	return v.grows && n < pieceMax && int64(n) < pieceGrowth*took && elements < pieceElements
}

// SwapValue leaves the memory of the Value of the last event, which must be one of several pieces,
// to the caller, and takes room for the next one instead, of any capacity.
func (d *Decoder) SwapValue(room []byte) { d.piece, d.lent = room, true }

// openValue reads what stands in front of the elements of a value, or all of a block.
func (d *Decoder) openValue(t Type) error {
	v := &d.val
	text, members := v.block.text, v.members
	clear(members)
	*v = value{typ: t, class: t.Class(), form: FormFlat, open: true, members: members}
	v.block.text = text
	err := d.openType(t)
	if err != nil {
		v.open = false
		return d.wrap(err, "value of type "+strconv.Quote(t.NameIn(d.version))+" of key "+quoteKey(d.bytes(&d.key)))
	}
	return nil
}

func (d *Decoder) openType(t Type) (err error) {
	v := &d.val
	switch t {
	case TypeStreamListpacks, TypeStreamListpacks2, TypeStreamListpacks3:
		v.form = FormStream
		v.left, err = d.count()
		return err
	case TypeHash2: // or TypeHashMetadataPreGA
		v.form, v.minTTL = FormFlatTTL, 1
		v.left, err = d.count()
		return err
	case TypeHashMetadata:
		v.form = FormFlatTTL
		if v.minTTL, err = d.uint64(); err == nil {
			v.left, err = d.count()
		}
		return err
	case TypeListQuicklist2:
		return d.openQuicklist()
	case TypeList, TypeSet, TypeHash, TypeZset, TypeZset2, TypeListQuicklist:
		v.left, err = d.count()
		return err
	case TypeHashListpackEx:
		if _, err = d.uint64(); err != nil { // the earliest expiry: the store finds it itself
			return err
		}
	}
	return d.openBlock(t)
}

// openBlock reads a value that is one block, and opens it unless it goes to the store as it lies.
func (d *Decoder) openBlock(t Type) error {
	v := &d.val
	start := d.Offset()
	if err := d.element(); err != nil {
		return err
	}
	b, kind, what := d.bytes(&d.elem), listpackBlock, ""
	n := 0
	switch t {
	case TypeHashZipmap:
		kind = zipmapBlock
	case TypeListZiplist, TypeZsetZiplist, TypeHashZiplist:
		kind = ziplistBlock
	case TypeSetIntset:
		if err := v.block.open(intsetBlock, b); err != nil {
			return d.fail(start, err.Error())
		}
		v.form, v.asIs, v.count = FormIntset, true, uint64(binary.LittleEndian.Uint32(b[4:]))
		return nil
	case TypeHashListpackEx, TypeHashListpackExPre:
		n, v.asIs, what = d.judge(v.class, true, b)
		v.form = FormListpackEx
	default:
		if n, v.asIs, what = d.judge(v.class, false, b); v.asIs {
			v.form = FormListpack
		}
	}
	if what != "" {
		return d.fail(start, what)
	}
	v.count = uint64(n)
	if v.asIs {
		return nil
	}
	v.count = 0
	if err := v.block.open(kind, b); err != nil {
		return d.fail(start, err.Error())
	}
	return nil
}

// Containers of the nodes of a quicklist.
const (
	nodePlain  = 1
	nodePacked = 2
)

// openQuicklist takes a list of one packed node as it lies.
func (d *Decoder) openQuicklist() (err error) {
	v := &d.val
	if v.left, err = d.count(); err != nil || v.left != 1 {
		return err
	}
	if err := d.node(); err != nil {
		return err
	}
	v.left = 0
	if v.block.kind == listpackBlock {
		n, _, _ := d.judge(ClassList, false, v.block.b)
		v.form, v.asIs, v.count = FormListpack, true, uint64(n)
	}
	return nil
}

// node reads the next node of a quicklist.
func (d *Decoder) node() error {
	kind := ziplistBlock
	if d.val.typ == TypeListQuicklist2 {
		start := d.Offset()
		container, err := d.count()
		if err != nil {
			return err
		}
		switch container {
		case nodePlain:
			kind = plainBlock
		case nodePacked:
			kind = listpackBlock
		default:
			return d.fail(start, "quicklist node of unknown kind "+strconv.FormatUint(container, 10))
		}
	}
	start := d.Offset()
	if err := d.element(); err != nil {
		return err
	}
	if err := d.val.block.open(kind, d.bytes(&d.elem)); err != nil {
		return d.fail(start, err.Error())
	}
	return nil
}

// element reads a string into elem. What stands in front of it is not needed any more.
func (d *Decoder) element() error {
	d.mark = d.pos
	d.elem.clear()
	return d.str(&d.elem)
}

// step adds an element, or a part of a stream, to the piece, or closes the value.
func (d *Decoder) step() error {
	v := &d.val
	if v.form == FormStream {
		return d.streamStep()
	}
	if v.block.kind != noBlock {
		return d.blockStep()
	}
	if v.left == 0 {
		v.open = false
		return nil
	}
	v.left--
	if v.typ == TypeListQuicklist || v.typ == TypeListQuicklist2 {
		return d.node()
	}
	v.count++
	if v.form == FormFlatTTL {
		return d.ttlStep()
	}
	if err := d.addString(true); err != nil {
		return err
	}
	switch v.typ {
	case TypeHash:
		return d.addString(false)
	case TypeZset, TypeZset2:
		return d.scoreStep()
	}
	return nil
}

// addString reads a string and adds it; unique says that it must not be there twice.
func (d *Decoder) addString(unique bool) error {
	start := d.Offset()
	if err := d.element(); err != nil {
		return err
	}
	s := d.bytes(&d.elem)
	if unique {
		if err := d.isNew(s, start); err != nil {
			return err
		}
	}
	d.add(s)
	return nil
}

// add adds an element to the piece.
func (d *Decoder) add(s []byte) {
	d.piece = append(binary.AppendUvarint(d.piece, uint64(len(s))), s...)
}

// isNew returns an error if the collection had s before; with DecoderOptions.Unique only, and for hashes
// whose fields expire: nobody can count on what is left of them.
func (d *Decoder) isNew(s []byte, at int64) error {
	v := &d.val
	if !d.unique && v.form != FormFlatTTL || v.class == ClassList {
		return nil
	}
	if v.members == nil {
		v.members = map[[2]uint64]struct{}{}
	}
	h := d.hash(s)
	if _, twice := v.members[h]; twice {
		return d.fail(at, map[Class]string{ClassHash: errDupHash, ClassSet: errDupSet, ClassZset: errDupZset}[v.class])
	}
	v.members[h] = struct{}{}
	return nil
}

func (d *Decoder) hash(s []byte) [2]uint64 {
	return [2]uint64{maphash.Bytes(d.seeds[0], s), maphash.Bytes(d.seeds[1], s)}
}

// ttlStep adds a field with its value and expiry.
func (d *Decoder) ttlStep() error {
	v := &d.val
	if v.typ == TypeHash2 && d.version >= minValkeyVersion {
		if err := d.addString(true); err != nil {
			return err
		}
		if err := d.addString(false); err != nil {
			return err
		}
		start := d.Offset()
		at, err := d.uint64()
		if at == math.MaxUint64 { // -1: none
			at = 0
		}
		return d.addExpiry(at, start, err)
	}
	start := d.Offset()
	ttl, err := d.count()
	if err != nil {
		return err
	}
	if err := d.addString(true); err != nil {
		return err
	}
	if err := d.addString(false); err != nil {
		return err
	}
	if ttl != 0 {
		if ttl > maxFieldExpiry || v.minTTL > maxFieldExpiry {
			return d.fail(start, errFieldExpiry)
		}
		ttl += v.minTTL - 1
	}
	return d.addExpiry(ttl, start, nil)
}

func (d *Decoder) addExpiry(at uint64, start int64, err error) error {
	if err == nil && at > maxFieldExpiry {
		err = d.fail(start, errFieldExpiry)
	}
	d.piece = binary.LittleEndian.AppendUint64(d.piece, at)
	return err
}

// scoreStep reads the score of the member before and adds it.
func (d *Decoder) scoreStep() error {
	start := d.Offset()
	if d.val.typ == TypeZset2 {
		bits, err := d.uint64()
		if err != nil {
			return err
		}
		return d.addScore(math.Float64frombits(bits), true, start)
	}
	d.mark = d.pos
	if err := d.need(1); err != nil {
		return err
	}
	n := d.buf[d.pos]
	d.pos++
	switch n {
	case 253:
		return d.addScore(math.NaN(), true, start)
	case 254:
		return d.addScore(math.Inf(1), true, start)
	case 255:
		return d.addScore(math.Inf(-1), true, start)
	}
	if err := d.need(int(n)); err != nil {
		return err
	}
	d.pos += int(n)
	score, ok := parseScore(d.buf[d.pos-int(n) : d.pos])
	return d.addScore(score, ok, start)
}

func (d *Decoder) addScore(score float64, ok bool, at int64) error {
	if !ok {
		return d.fail(at, errScore)
	}
	if score != score {
		return d.fail(at, errNaN)
	}
	d.piece = binary.LittleEndian.AppendUint64(d.piece, math.Float64bits(score))
	return nil
}

// blockStep adds an element of the open block, with what belongs to it, or closes the block.
func (d *Decoder) blockStep() error {
	v := &d.val
	elem, ok, err := v.block.next()
	if err != nil {
		return d.fail(d.Offset(), err.Error())
	}
	if !ok {
		v.block.kind = noBlock
		return nil
	}
	v.count++
	if err := d.isNew(elem, d.Offset()); err != nil {
		return err
	}
	d.add(elem)
	if v.class != ClassHash && v.class != ClassZset {
		return nil
	}
	if elem, ok, err = v.block.next(); err == nil && !ok {
		return d.fail(d.Offset(), errOdd)
	}
	switch {
	case err != nil:
		return d.fail(d.Offset(), err.Error())
	case v.class == ClassHash:
		d.add(elem)
		return nil
	}
	score, ok := parseScore(elem)
	return d.addScore(score, ok, d.Offset())
}

// uint64 reads eight bytes, little endian.
func (d *Decoder) uint64() (uint64, error) {
	d.mark = d.pos
	if err := d.need(8); err != nil {
		return 0, err
	}
	d.pos += 8
	return binary.LittleEndian.Uint64(d.buf[d.pos-8:]), nil
}
