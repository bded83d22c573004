package rdb

import "strconv"

// This file finds the end of values without looking at what they mean.

// passKey reads a key and passes over its value.
func (d *Decoder) passKey(ev *Event, t Type) error {
	ev.Kind, ev.Type, ev.Form = KindKey, t, FormNone
	d.place.doing = doingKey
	if err := d.str(&d.key); err != nil {
		if t != TypeString {
			return d.wrap(err, "key with a value of type "+strconv.Quote(t.NameIn(d.version)))
		}
		return d.wrap(err, "key")
	}
	d.place.doing, d.place.hasKey = doingValue, true
	start := d.Offset()
	if t != TypeString && t != TypeModule2 && d.values == CheckValues {
		err := d.checkValue(t)
		ev.Key, ev.ValueLen, ev.Empty = d.bytes(&d.key), d.Offset()-start, err == nil && d.val.count == 0
		return err
	}
	n, err := d.passValue(t)
	if err != nil {
		return d.wrap(err, "value of type "+strconv.Quote(t.NameIn(d.version))+" of key "+quoteKey(d.bytes(&d.key)))
	}
	if t != TypeString {
		n = d.Offset() - start
	}
	ev.Key, ev.ValueLen = d.bytes(&d.key), n
	return nil
}

// passOpcode passes over the operand of an opcode that is refused otherwise.
func (d *Decoder) passOpcode(op byte) error {
	if op == OpFunction2 {
		d.place.doing = doingFunction
		_, err := d.passString()
		return d.wrap(err, "function library")
	}
	d.place.doing = doingModule
	_, err := d.count() // the module's id; then a number of its own kind, which tells when the module wants the data
	if err == nil {
		err = d.passModule()
	}
	return d.wrap(err, "module data")
}

// passValue passes over a value. For strings it returns the length.
func (d *Decoder) passValue(t Type) (length int64, err error) {
	switch t {
	case TypeString:
		return d.passString()
	case TypeList, TypeSet, TypeListQuicklist:
		return 0, d.passEach("s")
	case TypeHash:
		return 0, d.passEach("ss")
	case TypeZset:
		return 0, d.passEach("st")
	case TypeZset2:
		return 0, d.passEach("s8")
	case TypeListQuicklist2:
		return 0, d.passEach("ns")
	case TypeHash2:
		if d.version >= minValkeyVersion {
			return 0, d.passEach("ss8")
		}
		return 0, d.passEach("nss")
	case TypeHashMetadata:
		if err := d.pass(8, nil); err != nil {
			return 0, err
		}
		return 0, d.passEach("nss")
	case TypeHashListpackEx:
		if err := d.pass(8, nil); err != nil {
			return 0, err
		}
	case TypeModule2:
		if _, err := d.count(); err != nil {
			return 0, err
		}
		return 0, d.passModule()
	case TypeStreamListpacks, TypeStreamListpacks2, TypeStreamListpacks3:
		return 0, d.passStream(t)
	}
	_, err = d.passString() // all the rest are one block
	return 0, err
}

// passEach passes over a count and as many elements, whose form is in the letters of pass.
func (d *Decoder) passEach(form string) error {
	n, err := d.count()
	for ; n > 0 && err == nil; n-- {
		err = d.passForm(form)
	}
	return err
}

// passForm passes over what the letters of form stand for: s a string, n a number, 8 and d bytes of
// that number (d: 16), t a score in text.
func (d *Decoder) passForm(form string) (err error) {
	for _, c := range form {
		switch c {
		case 's':
			_, err = d.passString()
		case 'n':
			_, err = d.count()
		case '8':
			err = d.pass(8, nil)
		case 'd':
			err = d.pass(16, nil)
		case 't':
			err = d.passTextScore()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// passTextScore passes over a score of old sorted sets: a length byte and digits, or one of three bytes
// that are not a number or infinite.
func (d *Decoder) passTextScore() error {
	if err := d.need(1); err != nil {
		return err
	}
	n := d.buf[d.pos]
	d.pos++
	if n >= 253 {
		return nil
	}
	return d.pass(uint64(n), nil)
}

// passStream passes over a stream.
func (d *Decoder) passStream(t Type) error {
	if err := d.passEach("ss"); err != nil { // the entries: id, block
		return err
	}
	head, group, consumer := "nnn", "snn", "s8" // count, last id; name, last id; name, time seen
	if t >= TypeStreamListpacks2 {
		head, group = "nnnnnnnn", "snnn" // first id, largest deleted id, ever added; ever read
	}
	if t >= TypeStreamListpacks3 {
		consumer = "s88" // time active
	}
	if err := d.passForm(head); err != nil {
		return err
	}
	groups, err := d.count()
	for ; groups > 0 && err == nil; groups-- {
		if err = d.passForm(group); err == nil {
			err = d.passEach("d8n") // what is pending: id, time, count
		}
		var consumers uint64
		if err == nil {
			consumers, err = d.count()
		}
		for ; consumers > 0 && err == nil; consumers-- {
			if err = d.passForm(consumer); err == nil {
				err = d.passEach("d")
			}
		}
	}
	return err
}

// errModuleCode means a byte that is no code of the self-describing form of module data.
const errModuleCode = "unknown code in module data"

// passModule passes over module data in their self-describing form.
func (d *Decoder) passModule() error {
	for {
		start := d.Offset()
		code, err := d.count()
		if err == nil {
			switch code {
			case 0:
				return nil
			case 1, 2: // integers
				_, err = d.count()
			case 3:
				err = d.pass(4, nil)
			case 4:
				err = d.pass(8, nil)
			case 5:
				_, err = d.passString()
			default:
				return d.fail(start, errModuleCode)
			}
		}
		if err != nil {
			return err
		}
	}
}

// count reads a plain length.
func (d *Decoder) count() (uint64, error) {
	start := d.Offset()
	n, size, err := ReadPlainLen(d.buf[d.pos:d.end])
	for err == ErrShort && d.passMore() {
		n, size, err = ReadPlainLen(d.buf[d.pos:d.end])
	}
	if err != nil {
		return 0, d.leafError(err, start)
	}
	d.pos += size
	return n, nil
}

// passMore is more for what is passed over: nothing in front of pos must stay but the key.
func (d *Decoder) passMore() bool {
	d.ownKey()
	d.mark = d.pos
	return d.more()
}

// passString passes over a string and returns its length. The errors are those of str.
func (d *Decoder) passString() (length int64, err error) {
	h, err := readStringHead(d.buf[d.pos:d.end])
	for err == ErrShort && d.passMore() {
		h, err = readStringHead(d.buf[d.pos:d.end])
	}
	start := d.Offset()
	if err != nil {
		return 0, d.leafError(err, start)
	}
	d.pos += h.size
	if h.encoding >= encInt8 && h.encoding <= encInt32 {
		return int64(decimalLen(h.n)), nil
	}
	if err := d.plausible(&h, start); err != nil {
		return 0, err
	}
	if h.encoding != encLZF || d.values == PassValues {
		return int64(h.length), d.pass(h.stored, nil)
	}
	check := lzfChecker{length: int(h.length)}
	if err := d.pass(h.stored, &check); err != nil {
		return 0, err
	}
	if !check.ok() {
		return 0, d.fail(start, ErrLZF.Error())
	}
	return int64(h.length), nil
}

// pass passes over n bytes, and shows them to check if there is one.
func (d *Decoder) pass(n uint64, check *lzfChecker) error {
	for {
		have := int(min(n, uint64(d.end-d.pos)))
		if check != nil {
			check.feed(d.buf[d.pos : d.pos+have])
		}
		d.pos += have
		if n -= uint64(have); n == 0 {
			return nil
		}
		d.ownKey()
		d.mark = d.pos
		if !d.fill(1) {
			return d.ended()
		}
	}
}

// decimalLen returns how many characters n takes in decimal.
func decimalLen(n int32) int {
	var b [maxIntDigits]byte
	return len(strconv.AppendInt(b[:0], int64(n), 10))
}

// lzfChecker finds what DecompressLZF would find, from compressed bytes that come in pieces and
// without expanding them.
type lzfChecker struct {
	length int // that it must expand to
	op     int // expanded so far
	skip   int // literals to come
	n      int // length of the reference that is being read
	back   int // the upper bits of its distance
	state  uint8
	bad    bool
}

// The states of an lzfChecker.
const (
	lzfAtControl = iota
	lzfAtLength
	lzfAtDistance
)

func (c *lzfChecker) ok() bool {
	return !c.bad && c.state == lzfAtControl && c.skip == 0 && c.op == c.length
}

func (c *lzfChecker) feed(p []byte) {
	for i := 0; i < len(p) && !c.bad; {
		if c.skip > 0 {
			n := min(c.skip, len(p)-i)
			i, c.skip = i+n, c.skip-n
			continue
		}
		b := int(p[i])
		i++
		switch c.state {
		case lzfAtControl:
			if b < lzfMaxLit {
				c.skip = b + 1
				c.op += b + 1
				continue
			}
			c.n, c.back, c.state = b>>5, b&0x1f<<8, lzfAtDistance
			if c.n == 7 {
				c.state = lzfAtLength
			}
		case lzfAtLength:
			c.n += b
			c.state = lzfAtDistance
		case lzfAtDistance:
			if c.back+b+1 > c.op {
				c.bad = true
			}
			c.op += c.n + 2
			c.state = lzfAtControl
		}
	}
}
