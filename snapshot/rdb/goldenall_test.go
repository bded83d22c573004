package rdb

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"
)

// serverGoldens are the golden data, and a stream, as real servers write them. The digest of those of
// redis-server is beside them, in a file of the same name: what it answers to DEBUG DIGEST. (Valkey 8
// answers another one for the same data, since it writes scores in another way.)
var serverGoldens = []struct {
	name   string
	server string
	args   []string
	types  []Type // that must be in the file
}{
	{"all-redis-7.0", "redis-server", nil, []Type{TypeString, TypeListQuicklist2, TypeSetIntset, TypeSet, TypeZsetListpack, TypeZset2,
		TypeHashListpack, TypeHash, TypeStreamListpacks2}},
	{"all-redis-7.0-trees", "redis-server", []string{"--hash-max-listpack-entries", "0", "--zset-max-listpack-entries", "0",
		"--set-max-intset-entries", "0", "--list-max-listpack-size", "3", "--stream-node-max-entries", "7", "--rdbcompression", "no"},
		[]Type{TypeString, TypeListQuicklist2, TypeSet, TypeZset2, TypeHash, TypeStreamListpacks2}},
	{"all-valkey-8.0", "valkey-server", nil, []Type{TypeString, TypeListQuicklist2, TypeSetIntset, TypeSetListpack, TypeSet,
		TypeZsetListpack, TypeZset2, TypeHashListpack, TypeHash, TypeStreamListpacks3}},
}

// serverPath returns the path of a server; $VALKEY_SERVER is where one of Valkey is that is not in $PATH.
func serverPath(t testing.TB, name string) string {
	t.Helper()
	if path := os.Getenv("VALKEY_SERVER"); name == "valkey-server" && path != "" {
		return path
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err) // it was asked for
	}
	return path
}

// makeAll has a server write a golden file and its digest.
func makeAll(t *testing.T, name, server string, args []string) {
	dir := t.TempDir()
	c := startServer(t, serverPath(t, server), dir, args...)
	for _, x := range goldenData() {
		for _, cmd := range x.commands() {
			do(t, c, cmd[0].(string), cmd[1:]...)
		}
	}
	for _, cmd := range goldenStream() {
		do(t, c, cmd[0].(string), cmd[1:]...)
	}
	if server == "redis-server" {
		writeGolden(t, c, name)
	}
	do(t, c, "SAVE")
	file, err := os.ReadFile(filepath.Join(dir, "dump.rdb"))
	if err == nil {
		err = os.WriteFile(goldenPath(name), file, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func goldenPath(name string) string { return filepath.Join("testdata", name+".rdb") }

// writeGolden writes what a server has as the digest of a golden file.
func writeGolden(t testing.TB, c redis.Conn, name string) {
	t.Helper()
	digest, err := redis.String(c.Do("DEBUG", "DIGEST"))
	if err == nil {
		err = os.WriteFile(filepath.Join("testdata", name+".digest"), []byte(digest+"\n"), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestGoldenServers(t *testing.T) {
	for _, g := range serverGoldens {
		t.Run(g.name, func(t *testing.T) {
			if *rewrite {
				makeAll(t, g.name, g.server, g.args)
			}
			found := checkGolden(t, g.name)
			for _, typ := range g.types {
				if !found[typ] {
					t.Errorf("no %v in it", typ)
				}
			}
		})
	}
}

// TestGoldenOld: files of old servers, as this package's tests write them. redis-server 7.0 reads them and
// says what their digest is.
func TestGoldenOld(t *testing.T) {
	for _, s := range oldStyles {
		t.Run(s.name, func(t *testing.T) {
			name := "old-" + s.name
			if *rewrite {
				dir := t.TempDir()
				for _, path := range []string{goldenPath(name), filepath.Join(dir, "dump.rdb")} {
					if err := os.WriteFile(path, s.file(), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				writeGolden(t, startRedis(t, dir), name)
			}
			if file, err := os.ReadFile(goldenPath(name)); err != nil || !bytes.Equal(file, s.file()) {
				t.Errorf("the file is not what this code writes: %v", err)
			}
			found := checkGolden(t, name)
			for _, typ := range []Type{s.hash, s.list, s.zset, s.zsetBig, TypeSetIntset, TypeSet, TypeString} {
				if !found[typ] {
					t.Errorf("no %v in it", typ)
				}
			}
		})
	}
}

// checkGolden reads a file with the golden data, in all ways, and returns the types in it.
func checkGolden(t *testing.T, name string) map[Type]bool {
	t.Helper()
	file, err := os.ReadFile(goldenPath(name))
	if err != nil {
		t.Fatal(err)
	}
	all, err := valuesOf(t, NewDecoder(bytes.NewReader(file), DecoderOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	sameOutline(t, file, 1)
	found := map[Type]bool{}
	for _, v := range all {
		found[v.typ] = true
	}
	for _, x := range goldenData() {
		v := all["0/"+x.key]
		if v == nil {
			t.Errorf("no key %q", x.key)
			continue
		}
		if got, want := strings.Join(v.text(), "|"), strings.Join(x.text(), "|"); got != want || v.empty || v.typ.Class() != x.class {
			t.Errorf("%q, %v:\n got %.300s\nwant %.300s", x.key, v.typ, got, want)
		}
		if (v.expireAt != 0) != (x.expireAt != 0) {
			t.Errorf("%q expires at %d", x.key, v.expireAt)
		}
	}
	return found
}

// A collection without elements is said to be empty, in every form, and is not an error.
func TestEmptyValues(t *testing.T) {
	empty := string(AppendString(nil, listpack(), nil))
	zip := string(AppendString(nil, ziplist(nil), nil))
	for name, c := range map[string]string{
		"list":        "\x01\x01k\x00",
		"set":         "\x02\x01k\x00",
		"hash":        "\x04\x01k\x00",
		"zset":        "\x05\x01k\x00",
		"zipmap":      "\x09\x01k\x02\x00\xff",
		"ziplist":     "\x0a\x01k" + zip,
		"quicklist":   "\x0e\x01k\x02" + zip + zip,
		"quicklist 2": "\x12\x01k\x01\x02" + empty,
		"nodes":       "\x12\x01k\x02\x02" + empty + "\x02" + empty,
		"no nodes":    "\x12\x01k\x00",
		"intset":      "\x0b\x01k\x08\x02\x00\x00\x00\x00\x00\x00\x00",
		"listpack":    "\x10\x01k" + empty,
		"set's":       "\x14\x01k" + empty,
	} {
		file := "REDIS0011" + c + unchecked
		all, err := valuesOf(t, NewDecoder(strings.NewReader(file), DecoderOptions{}))
		if err != nil || len(all) != 1 || !all["0/k"].empty {
			t.Errorf("%s: %+v, %v", name, all["0/k"], err)
		}
		sameOutline(t, []byte(file), 1)
	}
}

// What Redis refuses, and what a store could not hold.
func TestDamagedValues(t *testing.T) {
	str := func(b []byte) string { return string(AppendString(nil, b, nil)) }
	nan := "\x00\x00\x00\x00\x00\x00\xf8\x7f"
	broken := func(b []byte, at int, to byte) []byte { b[at] = to; return b }
	for name, c := range map[string]struct{ value, want string }{
		"hash listpack, odd":      {"\x10\x01k" + str(listpack("a", "b", "c")), errOdd},
		"hash listpack, twice":    {"\x10\x01k" + str(listpack("a", "b", "a", "c")), errDupHash},
		"hash listpack, number":   {"\x10\x01k" + str(listpack("1", "b", "2", "c", "1", "")), errDupHash},
		"set listpack, twice":     {"\x14\x01k" + str(listpack("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "b")), errDupSet},
		"zset listpack, twice":    {"\x11\x01k" + str(listpack("a", "1", "a", "2")), errDupZset},
		"zset listpack, nan":      {"\x11\x01k" + str(listpack("a", "nan")), errNaN},
		"zset listpack, text":     {"\x11\x01k" + str(listpack("a", "one")), errScore},
		"listpack, length":        {"\x10\x01k" + str(broken(listpack("a", "b"), 0, 99)), errListpack.Error()},
		"listpack, count":         {"\x10\x01k" + str(broken(listpack("a", "b"), 4, 9)), errListpack.Error()},
		"listpack, back length":   {"\x10\x01k" + str(broken(listpack("a", "b"), 8, 9)), errListpack.Error()},
		"intset, order":           {"\x0b\x01k\x0c\x02\x00\x00\x00\x02\x00\x00\x00\x02\x00\x01\x00", errIntset.Error()},
		"intset, twice":           {"\x0b\x01k\x0c\x02\x00\x00\x00\x02\x00\x00\x00\x02\x00\x02\x00", errIntset.Error()},
		"intset, length":          {"\x0b\x01k\x0c\x02\x00\x00\x00\x03\x00\x00\x00\x02\x00\x03\x00", errIntset.Error()},
		"zset, nan":               {"\x05\x01k\x01\x01a" + nan, errNaN},
		"zset in text, nan":       {"\x03\x01k\x01\x01a\xfd", errNaN},
		"zset in text, no number": {"\x03\x01k\x01\x01a\x02xy", errScore},
		"ziplist, end":            {"\x0a\x01k" + str(broken(ziplist([]string{"abc"}), 15, 0)), errZiplist.Error()},
		"ziplist, tail":           {"\x0a\x01k" + str(broken(ziplist([]string{"abc", "d"}), 4, 10)), errZiplist.Error()},
		"ziplist, count":          {"\x0a\x01k" + str(broken(ziplist([]string{"abc", "d"}), 8, 3)), errZiplist.Error()},
		"ziplist, before":         {"\x0a\x01k" + str(broken(ziplist([]string{"abc", "d"}), 15, 3)), errZiplist.Error()},
		"ziplist, odd":            {"\x0d\x01k" + str(ziplist([]string{"abc"})), errOdd},
		"zipmap, count":           {"\x09\x01k" + str(broken(zipmap([]string{"a", "b"}), 0, 2)), errZipmap.Error()},
		"zipmap, length":          {"\x09\x01k" + str(broken(zipmap([]string{"a", "b"}), 1, 9)), errZipmap.Error()},
		"quicklist, container":    {"\x12\x01k\x01\x03\x01a", "quicklist node of unknown kind 3"},
		"hash ex, expiry":         {"\x19\x01k12345678" + str(listpack("f", "v", "-1")), errFieldExpiry},
		"hash ex, text":           {"\x19\x01k12345678" + str(listpack("f", "v", "x")), errFieldExpiry},
		"hash metadata, expiry":   {"\x18\x01k\x00\x00\x00\x00\x00\x00\x00\x7f\x01\x01\x01f\x01v", errFieldExpiry},
		"hash metadata, twice":    {"\x18\x01k\x01\x00\x00\x00\x00\x00\x00\x00\x02\x01\x01f\x01v\x01\x01f\x01v", errDupHash},
		"stream, block":           {"\x13\x01k\x01\x10aaaaaaaaaaaaaaaa\x01x", errStreamNode},
		"stream, id":              {"\x13\x01k\x01\x02aa\x01x", errStreamKey},
		"stream, order":           {"\x13\x01k\x02\x10aaaaaaaaaaaaaaaa" + str(streamBlock(1)) + "\x10aaaaaaaaaaaaaaaa", errStreamOrder},
		"stream, length":          {"\x13\x01k\x01\x10aaaaaaaaaaaaaaaa" + str(streamBlock(1)) + "\x02\x01\x01\x01\x01\x00\x00\x01\x00", errStreamLength},
	} {
		file := "REDIS0012" + c.value + unchecked
		_, err := valuesOf(t, NewDecoder(strings.NewReader(file), DecoderOptions{}))
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), `of key "k": `+c.want+" at offset ") {
			t.Errorf("%s: %v", name, err)
		}
		sameOutline(t, []byte(file), 1)
	}
	for name, c := range map[string]struct{ value, want string }{
		"hash": {"\x04\x01k\x02\x01a\x01b\x01a\x01c", errDupHash},
		"set":  {"\x02\x01k\x02\x01a\x01a", errDupSet},
		"zset": {"\x05\x01k\x02\x01a12345678\x01a12345678", errDupZset},
	} {
		file := "REDIS0012" + c.value + unchecked
		d := NewDecoder(strings.NewReader(file), DecoderOptions{Unique: true})
		if _, err := valuesOf(t, d); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// streamBlock is a block with one entry and a count of live ones.
func streamBlock(live byte) []byte {
	return listpack(string('0'+rune(live)), "0", "1", "field", "0", "2", "0", "0", "value", "4")
}

// TestGoldenFieldExpiry: files of servers where the fields of hashes expire.
func TestGoldenFieldExpiry(t *testing.T) {
	for _, s := range newStyles {
		name := "new-" + s.name
		if *rewrite {
			if err := os.WriteFile(goldenPath(name), newFile(s.version, s.types), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		file, err := os.ReadFile(goldenPath(name))
		if err != nil || !bytes.Equal(file, newFile(s.version, s.types)) {
			t.Errorf("%s is not what this code writes: %v", name, err)
		}
		all, err := valuesOf(t, NewDecoder(bytes.NewReader(file), DecoderOptions{}))
		if err != nil || len(all) != len(s.types) {
			t.Fatalf("%s: %d keys, %v", name, len(all), err)
		}
		sameOutline(t, file, 1)
		var want []string
		for _, x := range fieldExpiry {
			e := x.field + "=" + x.value
			if x.at != 0 {
				e += fmt.Sprint("=", x.at)
			}
			want = append(want, e)
		}
		sort.Strings(want)
		for key, v := range all {
			if got := v.text(); strings.Join(got, "|") != strings.Join(want, "|") || !slices.Contains(s.types, v.typ) {
				t.Errorf("%s, %s, %v:\n got %q\nwant %q", name, key, v.typ.NameIn(s.version), got, want)
			}
		}
	}
}
