package snapshot

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"kvd/kv"
)

// TestRepairTypes: a repair copies values of every type as they are; of a file that was cut off it keeps the keys
// before the end, and of one with damage in a value those in front of it at least.
func TestRepairTypes(t *testing.T) {
	dir := t.TempDir()
	names, _ := filepath.Glob("rdb/testdata/*-*-[0-9]*.rdb")
	if len(names) < 8 {
		t.Fatalf("only %q", names)
	}
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	repairFile := func(file []byte) (RepairReport, map[place]item) {
		t.Helper()
		if err := os.WriteFile(in, file, 0o600); err != nil {
			t.Fatal(err)
		}
		rep, err := Repair(context.Background(), in, out, RepairOptions{Force: true})
		if err != nil {
			t.Fatal(err)
		}
		s, err := kv.Open(kv.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, err := Load(context.Background(), s, out, LoadOptions{}); err != nil {
			t.Fatal(err)
		}
		return rep, contents(s)
	}
	for _, name := range names {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		full, _ := load(t, name)
		want := contents(full)
		if rep, got := repairFile(file); !rep.Whole() || rep.Damage != nil || !maps.Equal(got, want) {
			t.Errorf("%s: %+v, %d keys of %d", name, rep, len(got), len(want))
		}
		if len(want) < 10 {
			continue
		}
		damaged := bytes.Clone(file)
		clear(damaged[len(file)*2/3 : len(file)*2/3+40])
		for what, file := range map[string][]byte{"cut": file[:len(file)*2/3], "damaged": damaged} {
			rep, got := repairFile(file)
			if rep.Whole() || rep.Damage == nil || len(got) < 3 || len(got) >= len(want) {
				t.Errorf("%s, %s: %+v, %d keys of %d", name, what, rep, len(got), len(want))
			}
			for p, it := range got {
				if want[p] != it {
					t.Errorf("%s, %s: %v is another", name, what, p)
				}
			}
		}
	}
}
