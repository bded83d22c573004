package rdb

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

func TestDumpString(t *testing.T) {
	// What redis-server 7.0.15 answers to SET k 10, DUMP k.
	const ten = "\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb"
	if got := AppendDumpString([]byte("x"), []byte("10"), nil); string(got) != "x"+ten {
		t.Fatalf("%q, want %q", got[1:], ten)
	}
	for _, x := range edgeEntries() {
		for _, table := range []*LZFTable{nil, new(LZFTable)} {
			payload := AppendDumpString(nil, []byte(x.value), table)
			typ, value, err := ParseDump(payload, defaultMaxString)
			if typ != TypeString || string(value) != x.value || err != nil {
				t.Fatalf("%q: %v, %v", x.key, typ, err)
			}
		}
	}
}

// withFooter completes a payload by hand.
func withFooter(body string, version uint16) []byte {
	p := binary.LittleEndian.AppendUint16([]byte(body), version)
	return binary.LittleEndian.AppendUint64(p, crcBitwise(0, p))
}

func TestParseDumpErrors(t *testing.T) {
	good := string(withFooter("\x00\x01a", 10))
	for name, c := range map[string]struct {
		payload string
		want    error
		text    string
	}{
		"empty":             {"", ErrDumpFooter, ""},
		"cut":               {good[:len(good)-1], ErrDumpFooter, ""},
		"short":             {good[:9], ErrDumpFooter, ""},
		"byte changed":      {"\x00\x01b" + good[3:], ErrDumpFooter, ""},
		"newer":             {string(withFooter("\x00\x01a", 13)), ErrDumpFooter, ""},
		"none's":            {string(withFooter("\x00\x01a", 79)), ErrDumpFooter, ""},
		"zero checksum":     {good[:5] + "\x00\x00\x00\x00\x00\x00\x00\x00", ErrDumpFooter, ""},
		"no value":          {string(withFooter("", 10)), ErrDumpFormat, "bad data format: no value at offset 0"},
		"unknown type":      {string(withFooter("\x63\x01a", 10)), ErrDumpFormat, "bad data format: unknown type 99 at offset 0"},
		"string cut":        {string(withFooter("\x00\x02a", 10)), ErrDumpFormat, "bad data format: unexpected end of data at offset 1"},
		"bytes behind":      {string(withFooter("\x00\x01ab", 10)), ErrDumpFormat, "bad data format: bytes after the value at offset 3"},
		"over the limit":    {string(withFooter("\x00\x40\x65"+strings.Repeat("a", 101), 10)), ErrDumpFormat, "bad data format: string is longer than the limit at offset 1"},
		"400 MB of nothing": {string(withFooter("\x00\x80\x10\x00\x00\x00", 10)), ErrDumpFormat, "bad data format: string is longer than the limit at offset 1"},
	} {
		_, _, err := ParseDump([]byte(c.payload), 100)
		if !errors.Is(err, c.want) || c.text != "" && err.Error() != c.text {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := ParseDump(withFooter("\x00\x01a", 12), 100); err != nil {
		t.Errorf("version 12: %v", err)
	}
	if _, _, err := ParseDump(withFooter("\x00\x01a", 80), 100); err != nil {
		t.Errorf("Valkey's: %v", err)
	}
	typ, _, err := ParseDump(withFooter("\x07\x01a", 10), 100)
	var ue *UnsupportedError
	if !errors.As(err, &ue) || typ != TypeModule2 || err.Error() != `unsupported value type "module-2" (7) at offset 0` {
		t.Errorf("module: %v, %v", typ, err)
	}
	if typ, value, err := ParseDump(withFooter("\x10\x01a", 10), 100); typ != TypeHashListpack || value != nil || err != nil {
		t.Errorf("hash: %v, %q, %v", typ, value, err)
	}
}
