package rdb

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"kvd/kv/packed"
)

// elementsOf returns the elements of an event's value as text, one for each field or member with what
// belongs to it.
func elementsOf(t testing.TB, ev *Event) (list []string) {
	t.Helper()
	class := ev.Type.Class()
	switch ev.Form {
	case FormIntset:
		for i := range packed.IntsetLen(ev.Value) {
			list = append(list, fmt.Sprint(packed.IntsetAt(ev.Value, i)))
		}
		return list
	case FormListpack, FormListpackEx:
		var flat []string
		for at := packed.First(ev.Value); at >= 0; at = packed.Next(ev.Value, at) {
			v := packed.Get(ev.Value, at)
			flat = append(flat, string(v.Append(nil)))
		}
		step := 1
		if class == ClassHash || class == ClassZset {
			step = 2
		}
		if ev.Form == FormListpackEx {
			step = 3
		}
		for i := 0; i+step <= len(flat); i += step {
			if step == 3 && flat[i+2] == "0" {
				list = append(list, strings.Join(flat[i:i+2], "="))
				continue
			}
			list = append(list, strings.Join(flat[i:i+step], "="))
		}
		return list
	case FormFlat, FormFlatTTL:
		return flatElements(t, class, ev.Form, ev.Value)
	case FormStream:
		return []string{fmt.Sprintf("%q", ev.Value)}
	}
	return []string{string(ev.Value)}
}

// flatElements are those of a FormFlat.
func flatElements(t testing.TB, class Class, form Form, p []byte) (list []string) {
	next := func() string {
		n, size := binary.Uvarint(p)
		if size <= 0 || n > uint64(len(p)-size) {
			t.Fatalf("no string in %q", p)
		}
		s := string(p[size : size+int(n)])
		p = p[size+int(n):]
		return s
	}
	for len(p) > 0 {
		s := next()
		switch class {
		case ClassHash:
			s += "=" + next()
			if form == FormFlatTTL {
				if at := binary.LittleEndian.Uint64(p); at != 0 {
					s += fmt.Sprint("=", at)
				}
				p = p[8:]
			}
		case ClassZset:
			s += fmt.Sprint("=", math.Float64frombits(binary.LittleEndian.Uint64(p)))
			p = p[8:]
		}
		list = append(list, s)
	}
	return list
}

// valueText is a value of a file, for comparison: its type, form and elements.
type valueText struct {
	typ      Type
	form     Form
	elements []string
	pieces   int
	empty    bool
	expireAt int64
}

// valuesOf reads a file: its keys as "db/key".
func valuesOf(t testing.TB, d *Decoder) (map[string]*valueText, error) {
	t.Helper()
	all := map[string]*valueText{}
	var ev Event
	for {
		if err := d.Next(&ev); err != nil {
			return all, err
		}
		name := fmt.Sprintf("%d/%s", ev.DB, ev.Key)
		switch ev.Kind {
		case KindEOF:
			return all, nil
		case KindKey:
			all[name] = &valueText{typ: ev.Type, form: ev.Form, empty: ev.Empty, expireAt: ev.ExpireAtMs}
		case KindMore:
			if all[name] == nil {
				t.Fatalf("a piece of %q without a first one", name)
			}
		default:
			continue
		}
		v := all[name]
		v.elements = append(v.elements, elementsOf(t, &ev)...)
		v.pieces++
		if v.form == FormFlat && uint64(len(v.elements)) != ev.Elements {
			t.Fatalf("%q: %d elements, the event says %d", name, len(v.elements), ev.Elements)
		}
	}
}
