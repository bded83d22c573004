package rdb

import (
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
)

// datum is one key of the data that all golden files of collections hold, in whatever form.
type datum struct {
	class    Class
	key      string
	elements []string // list: in order; hash: field, value, …; zset: member, score, …
	expireAt int64
}

const goldenExpiry = 4_000_000_000_000

// goldenData are keys of all classes but streams, which only servers write: small ones, big ones, and
// those at the edges of encodings.
func goldenData() []datum {
	var listBig, setBig, setInts, zsetBig, hashBig []string
	for i := range 2000 {
		listBig = append(listBig, []string{strconv.Itoa(i * i * i * i), fmt.Sprint("element ", i)}[i%2])
		if i%500 == 7 {
			listBig = append(listBig, strings.Repeat(strconv.Itoa(i), 200))
		}
	}
	for i := range 700 {
		setBig = append(setBig, fmt.Sprint("member ", i))
		setInts = append(setInts, strconv.Itoa(i*i*i-1000))
	}
	for i := range 300 {
		zsetBig = append(zsetBig, fmt.Sprint("m", i), formatScore(float64(i)/3-20))
		hashBig = append(hashBig, fmt.Sprint("field ", i), strings.Repeat("v", i%90))
	}
	hashBig = append(hashBig, "n", "12345678901", "m", "-1", "", "empty field")
	for i := range 400 {
		hashBig = append(hashBig, strconv.Itoa(i), strconv.Itoa(i-200))
	}
	return []datum{
		{ClassString, "string", []string{"value"}, 0},
		{ClassString, "string:int", []string{"-12345"}, goldenExpiry},
		{ClassString, "string:long", []string{strings.Repeat("ab", 5000)}, 0},
		{ClassList, "list:small", []string{"a", "1", "-5", "127", "128", "-129", "4095", "4096", "40000", "8388607", "8388608", "2147483648", "5000000000",
			"-9223372036854775808", "", "12", "13", "0", "007", strings.Repeat("x", 70)}, 0},
		{ClassList, "list:big", listBig, 0},
		{ClassList, "list:long", []string{"before", strings.Repeat("long ", 4000), "behind"}, goldenExpiry},
		{ClassSet, "set:ints", []string{"1", "2", "70000", "-5", "300"}, 0},
		{ClassSet, "set:ints64", []string{"5000000000", "1", "-9223372036854775808"}, 0},
		{ClassSet, "set:small", []string{"a", "b", "12", ""}, goldenExpiry},
		{ClassSet, "set:big", setBig, 0},
		{ClassSet, "set:bigints", setInts, 0},
		{ClassZset, "zset:small", []string{"a", "1.5", "b", "-inf", "c", "inf", "d", "3", "e", "3", "f", "1e+300", "g", "0.10000000000000001", "7", "-7"}, 0},
		{ClassZset, "zset:big", zsetBig, goldenExpiry},
		{ClassHash, "hash:small", []string{"field", "value", "n", "12", "7", "text", "", "e"}, 0},
		{ClassHash, "hash:long", []string{"field", strings.Repeat("0123456789", 30), "g", "h"}, goldenExpiry},
		{ClassHash, "hash:big", hashBig, 0},
	}
}

func formatScore(f float64) string { return strconv.FormatFloat(f, 'g', 17, 64) }

// commands returns the commands that make the data in a server.
func (x *datum) commands() (list [][]any) {
	add := map[Class]string{ClassString: "SET", ClassList: "RPUSH", ClassSet: "SADD", ClassZset: "ZADD", ClassHash: "HSET"}[x.class]
	for at := 0; at < len(x.elements); at += 100 {
		cmd := []any{add, x.key}
		for i := at; i < min(at+100, len(x.elements)); i++ {
			switch {
			case x.class == ClassZset && i%2 == 0:
				cmd = append(cmd, x.elements[i+1], x.elements[i])
			case x.class != ClassZset:
				cmd = append(cmd, x.elements[i])
			}
		}
		list = append(list, cmd)
	}
	if x.expireAt != 0 {
		list = append(list, []any{"PEXPIREAT", x.key, x.expireAt})
	}
	return list
}

// text returns the elements as elementsOf has them; sorted if they have no order.
func (x *datum) text() []string {
	var list []string
	switch x.class {
	case ClassHash:
		for i := 0; i < len(x.elements); i += 2 {
			list = append(list, x.elements[i]+"="+x.elements[i+1])
		}
	case ClassZset:
		for i := 0; i < len(x.elements); i += 2 {
			score, _ := strconv.ParseFloat(x.elements[i+1], 64)
			list = append(list, x.elements[i]+"="+fmt.Sprint(score))
		}
	default:
		list = append(list, x.elements...)
	}
	if x.class != ClassList {
		sort.Strings(list)
	}
	return list
}

// text returns the elements of what was read, to be compared with those of a datum.
func (v *valueText) text() []string {
	list := append([]string(nil), v.elements...)
	if v.typ.Class() == ClassZset {
		for i, s := range list { // scores are written in many ways
			at := strings.LastIndexByte(s, '=')
			score, err := strconv.ParseFloat(s[at+1:], 64)
			if err != nil {
				score = math.NaN()
			}
			list[i] = s[:at+1] + fmt.Sprint(score)
		}
	}
	if v.typ.Class() != ClassList {
		sort.Strings(list)
	}
	return list
}

// goldenStream are the commands that make a stream: with trimmed and deleted entries, groups, and entries
// pending.
func goldenStream() (list [][]any) {
	for i := range 250 {
		cmd := []any{"XADD", "stream", fmt.Sprint(1000+i/3, "-", 1+i%3), "temperature", i, "place", fmt.Sprint("room ", i%7)}
		if i%10 == 9 {
			cmd = append(cmd, "more", "fields")
		}
		list = append(list, cmd)
	}
	list = append(list, []any{"XDEL", "stream", "1001-1", "1050-2"}, []any{"XTRIM", "stream", "MAXLEN", "200"},
		[]any{"XGROUP", "CREATE", "stream", "readers", "0"}, []any{"XGROUP", "CREATE", "stream", "others", "$"},
		[]any{"XGROUP", "CREATECONSUMER", "stream", "others", "idle"})
	for _, c := range []string{"alice", "bob", "alice"} {
		list = append(list, []any{"XREADGROUP", "GROUP", "readers", c, "COUNT", "40", "STREAMS", "stream", ">"})
	}
	list = append(list, []any{"XDEL", "stream", "1040-1"}, []any{"XGROUP", "CREATE", "gone", "g", "0", "MKSTREAM"},
		[]any{"XADD", "gone", "5-5", "a", "b"}, []any{"XDEL", "gone", "5-5"})
	return list
}
