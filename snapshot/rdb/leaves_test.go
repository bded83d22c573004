package rdb

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

func TestLen(t *testing.T) {
	for _, c := range []struct {
		n   uint64
		hex string
	}{
		{0, "\x00"}, {63, "\x3f"}, {64, "\x40\x40"}, {16383, "\x7f\xff"}, {16384, "\x80\x00\x00\x40\x00"},
		{1<<32 - 1, "\x80\xff\xff\xff\xff"}, {1 << 32, "\x81\x00\x00\x00\x01\x00\x00\x00\x00"},
		{math.MaxUint64, "\x81\xff\xff\xff\xff\xff\xff\xff\xff"},
	} {
		got := AppendLen([]byte("x"), c.n)
		if string(got) != "x"+c.hex {
			t.Errorf("%d: %x, want %x", c.n, got[1:], c.hex)
		}
		n, size, encoded, err := ReadLen(append(got[1:], 0xff))
		if n != c.n || size != len(c.hex) || encoded || err != nil {
			t.Errorf("%d is read as %d, size %d, %v, %v", c.n, n, size, encoded, err)
		}
		for cut := range c.hex {
			if _, _, _, err := ReadLen([]byte(c.hex[:cut])); err != ErrShort {
				t.Errorf("%d cut to %d bytes: %v", c.n, cut, err)
			}
		}
	}
	if _, _, _, err := ReadLen([]byte{0x82}); err != ErrBadLength {
		t.Errorf("length byte 82: %v", err)
	}
	if n, size, encoded, err := ReadLen([]byte{0xc3}); n != encLZF || size != 1 || !encoded || err != nil {
		t.Errorf("c3: %d, %d, %v, %v", n, size, encoded, err)
	}
	if _, _, err := ReadPlainLen([]byte{0xc0, 1}); err != ErrEncodedLength {
		t.Errorf("encoding as a length: %v", err)
	}
}

func TestStringEncodings(t *testing.T) {
	for s, want := range map[string]string{
		"0": "\xc0\x00", "1": "\xc0\x01", "-1": "\xc0\xff", "127": "\xc0\x7f", "-128": "\xc0\x80",
		"128": "\xc1\x80\x00", "-129": "\xc1\x7f\xff", "32767": "\xc1\xff\x7f", "-32768": "\xc1\x00\x80",
		"32768": "\xc2\x00\x80\x00\x00", "2147483647": "\xc2\xff\xff\xff\x7f",
		"-2147483648": "\xc2\x00\x00\x00\x80", "2147483648": "\x0a2147483648", "-2147483649": "\x0b-2147483649",
		"": "\x00", "-": "\x01-", "-0": "\x02-0", "00": "\x0200", "01": "\x0201", "-01": "\x03-01", "+1": "\x02+1",
		"1 ": "\x021 ", " 1": "\x02 1", "1.0": "\x031.0", "99999999999": "\x0b99999999999", "1\x00": "\x021\x00",
		strings.Repeat("a", 20): "\x14" + strings.Repeat("a", 20),
		// 21 bytes: one literal and a reference 20 long.
		strings.Repeat("a", 21): "\xc3",
	} {
		got := AppendString(nil, []byte(s), new(LZFTable))
		if !strings.HasPrefix(string(got), want) || want != "\xc3" && len(got) != len(want) {
			t.Errorf("%q: %x, want %x", s, got, want)
		}
		checkReadString(t, got, s)
	}
}

// checkReadString reads s from its encoding, and from each part of it, which must be called short.
func checkReadString(t *testing.T, p []byte, s string) {
	t.Helper()
	got, size, err := ReadString(append(p[:len(p):len(p)], "tail"...), int64(max(len(s), 1)))
	if string(got) != s || size != len(p) || err != nil {
		t.Errorf("%.40q is read as %.40q, size %d of %d, %v", s, got, size, len(p), err)
	}
	for cut := 0; cut < len(p); cut += 1 + len(p)/100 {
		if _, _, err := ReadString(p[:cut], defaultMaxString); err != ErrShort {
			t.Errorf("%.40q cut to %d of %d bytes: %v", s, cut, len(p), err)
		}
	}
}

// TestStringProperty: any string comes back, behind any prefix, in a buffer of any capacity.
func TestStringProperty(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	table := new(LZFTable)
	for i := range 20_000 {
		var s []byte
		switch i % 4 {
		case 0:
			s = strconv.AppendInt(nil, int64(rng.Uint64())>>rng.IntN(64), 10)
		case 1:
			s = randomBytes(rng, rng.IntN(100))
		case 2:
			s = sampleJSON(rng, rng.IntN(2000))
		case 3:
			s = bytes.Repeat([]byte{byte(i)}, rng.IntN(300))
		}
		prefix := append(make([]byte, 0, rng.IntN(3000)), "prefix"...)
		out := AppendString(prefix, s, table)
		if string(out[:6]) != "prefix" {
			t.Fatalf("prefix overwritten for %q", s)
		}
		got, size, err := ReadString(out[6:], 1<<20)
		if !bytes.Equal(got, s) || size != len(out)-6 || err != nil {
			t.Fatalf("%q is read as %q, size %d of %d, %v", s, got, size, len(out)-6, err)
		}
	}
}

func TestParseInt32(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	for range 100_000 {
		s := make([]byte, rng.IntN(13))
		for i := range s {
			s[i] = "0123456789-"[rng.IntN(11)]
		}
		n, err := strconv.ParseInt(string(s), 10, 32)
		canonical := err == nil && strconv.FormatInt(n, 10) == string(s)
		if got, ok := parseInt32(s); ok != canonical || ok && int64(got) != n {
			t.Fatalf("%q: %d, %v; strconv says %d, %v", s, got, ok, n, err)
		}
	}
}

func TestReadStringErrors(t *testing.T) {
	for name, c := range map[string]struct {
		p    string
		want error
	}{
		"encoding 4":         {"\xc4abc", ErrEncoding},
		"over the limit":     {"\x80\x00\x10\x00\x01", ErrTooLong},
		"LZF over the limit": {"\xc3\x01\x80\x00\x10\x00\x01a", ErrTooLong},
		"LZF bomb":           {"\xc3\x03\x80\x00\x00\x10\x00abc", ErrLZF},
		"LZF of nothing":     {"\xc3\x00\x00", ErrLZF},
		"LZF damaged":        {"\xc3\x03\x08\x20\x00\x00", ErrLZF},
		"LZF length encoded": {"\xc3\xc0\x01\x01", ErrEncodedLength},
	} {
		if _, _, err := ReadString([]byte(c.p), 1<<20); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestOpcodeLeaves(t *testing.T) {
	if p := AppendExpireMs(nil, -2); p[0] != OpExpireTimeMs {
		t.Error("wrong opcode")
	} else if at, n, err := ReadExpireMs(p[1:]); at != -2 || n != 8 || err != nil {
		t.Error(at, n, err)
	}
	if p := AppendExpireSec(nil, 1700000000); p[0] != OpExpireTime {
		t.Error("wrong opcode")
	} else if at, n, err := ReadExpireSec(p[1:]); at != 1700000000 || n != 4 || err != nil {
		t.Error(at, n, err)
	}
	if p := AppendIdle(nil, 70000); p[0] != OpIdle {
		t.Error("wrong opcode")
	} else if s, n, err := ReadIdle(p[1:]); s != 70000 || n != 5 || err != nil {
		t.Error(s, n, err)
	}
	if p := AppendFreq(nil, 255); p[0] != OpFreq {
		t.Error("wrong opcode")
	} else if f, n, err := ReadFreq(p[1:]); f != 255 || n != 1 || err != nil {
		t.Error(f, n, err)
	}
	if p := AppendSelectDB(nil, 15); p[0] != OpSelectDB {
		t.Error("wrong opcode")
	} else if db, n, err := ReadSelectDB(p[1:]); db != 15 || n != 1 || err != nil {
		t.Error(db, n, err)
	}
	if p := AppendResizeDB(nil, 1000, 7); p[0] != OpResizeDB {
		t.Error("wrong opcode")
	} else if k, x, n, err := ReadResizeDB(p[1:]); k != 1000 || x != 7 || n != 3 || err != nil {
		t.Error(k, x, n, err)
	}
}

func TestHeader(t *testing.T) {
	for _, c := range []struct {
		p         string
		version   int
		ok, reads bool
	}{
		{"REDIS0001", 1, true, true}, {"REDIS0010", 10, true, true}, {"REDIS0012", 12, true, true},
		{"REDIS0013", 13, true, false}, {"REDIS0000", 0, true, false}, {"VALKEY080", 80, true, true},
		{"VALKEY081", 81, true, false}, {"REDIS0080", 80, false, true}, {"VALKEY011", 11, false, true},
		{"REDIS00x0", 0, false, false}, {"REDIX0010", 0, false, false}, {"REDIS001", 0, false, false},
	} {
		version, ok := ReadHeader([]byte(c.p))
		if ok != c.ok || ok && (version != c.version || SupportedVersion(version) != c.reads) {
			t.Errorf("%s: %d, %v", c.p, version, ok)
		}
	}
	if got := AppendHeader(nil, 10); string(got) != "REDIS0010" {
		t.Errorf("%q", got)
	}
}

func TestTypeNames(t *testing.T) {
	for typ, want := range map[Type]string{0: "string", 4: "hash", 18: "list-quicklist-2",
		21: "stream-listpacks-3", 22: "hash-metadata-pre-ga", 8: "unknown type 8", 26: "unknown type 26"} {
		if got := typ.String(); got != want {
			t.Errorf("%d: %q, want %q", typ, got, want)
		}
	}
	if got := Type(22).NameIn(80); got != "hash-2" {
		t.Errorf("22 in Valkey: %q", got)
	}
	// The id of a module type named "ReJSON-RL", encoding version 3: ten characters of six bits.
	var id uint64
	for _, c := range "ReJSON-RL" {
		id = id<<6 | uint64(strings.IndexRune(moduleNameChars, c))
	}
	if got := moduleName(id<<10 | 3); got != "ReJSON-RL" {
		t.Errorf("%q", got)
	}
}
