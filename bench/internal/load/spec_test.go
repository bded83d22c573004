//go:build linux

package load

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestSpec(t *testing.T) {
	good := Spec{Addr: "127.0.0.1:1", Keys: 1, Mix: MixA}
	if s, err := good.check(true); err != nil || s.Conns != 1 || s.Pipeline != 1 || s.Members != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	for want, change := range map[string]func(*Spec){
		"no address":       func(s *Spec) { s.Addr = "" },
		"kind of keys":     func(s *Spec) { s.Kind = 3 },
		"kind of values":   func(s *Spec) { s.Values = -1 },
		"distribution 9":   func(s *Spec) { s.Distribution = 9 },
		"0 keys":           func(s *Spec) { s.Keys = 0 },
		"5 keys of 0":      func(s *Spec) { s.Kind, s.Keys = Lists, 5 },
		"9000000000000000": func(s *Spec) { s.Keys = 9e15 },
		"values of -1":     func(s *Spec) { s.ValueBytes = -1 },
		"values of 67":     func(s *Spec) { s.ValueBytes = MaxValueBytes + 1 },
		"-1 connections":   func(s *Spec) { s.Conns = -1 },
		"100000 conn":      func(s *Spec) { s.Conns = 100_000 },
		"pipeline of 5000": func(s *Spec) { s.Pipeline = 5000 },
		"rate of -1":       func(s *Spec) { s.Rate = -1 },
		"rate of NaN":      func(s *Spec) { s.Rate = math.NaN() },
		"rate of +Inf":     func(s *Spec) { s.Rate = math.Inf(1) },
		"probe every 1ns":  func(s *Spec) { s.ProbeEvery = time.Nanosecond },
		"mix \"\"":         func(s *Spec) { s.Mix = Mix{} },
		"mix \"x\"":        func(s *Spec) { s.Mix = Mix{Name: "x", Read: 1, Scan: -0.5} },
		"mix \"y\"":        func(s *Spec) { s.Mix = Mix{Name: "y", Read: math.NaN()} },
	} {
		s := good
		change(&s)
		if _, err := s.check(true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
		if _, err := Start(t.Context(), s); err == nil {
			t.Errorf("%q: started", want)
		}
		if !strings.HasPrefix(want, "mix") && Fill(t.Context(), s, nil) == nil {
			t.Errorf("%q: filled", want)
		}
	}
}

func TestDataBytes(t *testing.T) {
	for _, c := range []struct {
		s            Spec
		items, bytes int64
	}{
		{Spec{Keys: 10, ValueBytes: 100, Members: 7}, 10, 1140},
		{Spec{Kind: Lists, Keys: 10, ValueBytes: 100, Members: 5}, 50, 5140},
		{Spec{Kind: Hashes, Keys: 10, ValueBytes: 100, Members: 5}, 50, 5940},
	} {
		if c.s.Items() != c.items || c.s.DataBytes() != c.bytes {
			t.Errorf("%v: %d items, %d bytes", c.s.Kind, c.s.Items(), c.s.DataBytes())
		}
	}
	if got := string(appendField(appendKey(nil, 12), 9_876_543_210)); got != "$14\r\nkey:0000000012\r\n$16\r\nfield:9876543210\r\n" {
		t.Errorf("%q", got)
	}
}

func TestNames(t *testing.T) {
	if Lists.String() != "lists" || Text.String() != "text" || Latest.String() != "latest" || Kind(7).String() != "unknown (7)" {
		t.Error(Lists, Text, Latest, Kind(7))
	}
}
