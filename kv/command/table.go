package command

import (
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
)

// table finds a command's row by its name in any case. A name is looked up by two
// machine words, which are all of the bytes of one of up to 16, and its length in an
// open-addressed hash, without allocating.
type table struct {
	slots [tableSize]tableSlot
	list  []*Spec // in alphabetical order
	all   []*Spec // with subcommands; the index is Spec.id
}

const (
	tableSize    = 1024 // a power of two, well above the number of names
	maxTableName = 20
)

type tableSlot struct {
	a, b uint64
	spec *Spec
}

// sharedTable is the table of all engines of the process: it is not written to
// after it has been assembled.
var sharedTable = sync.OnceValue(newTable)

// newTable assembles the rows of all groups.
func newTable() *table {
	t := &table{}
	for _, group := range [][]*Spec{
		stringCommands, bitmapCommands, hllCommands, hashCommands, listCommands, setCommands, zsetCommands, geoCommands, streamCommands, genericCommands,
		sortCommands, connectionCommands, serverCommands, saveCommands, latencyCommands, transactionCommands,
	} {
		for _, s := range group {
			t.add(s)
		}
	}
	return t
}

func (t *table) add(s *Spec) {
	if len(s.Name) > maxTableName {
		panic("command: name too long: " + s.Name)
	}
	a, b := nameWords([]byte(s.Name))
	i := slotOf(a, b)
	for ; t.slots[i].spec != nil; i = (i + 1) % tableSize {
		if t.slots[i].spec.Name == s.Name {
			panic("command: two rows for " + s.Name)
		}
	}
	t.slots[i] = tableSlot{a, b, s}
	t.list = append(t.list, s)
	t.finish(s, nil)
}

func (t *table) finish(s, parent *Spec) {
	s.id = len(t.all)
	t.all = append(t.all, s)
	s.parent = parent
	s.Categories = s.allCategories()
	s.oneKey = s.Lock == LockKeys && s.LockOf == nil && s.First == 1 && s.Last == 1 && s.Keys == nil && s.Arity != -1 && s.Arity != 1 &&
		s.Before == nil && s.After == nil
	s.quick = s.oneKey && (s.Flags&Fast != 0 || s.Name == "set")
	s.exec = s.Name == "exec"
	s.marks = s.Flags&Write != 0 && s.Doc.Group != "stream"
	s.saved = s.Flags&Write != 0 || s.Name == "ping"
	s.guarded = s.saved || s.Flags&Protected != 0
	for _, sub := range s.Sub {
		t.finish(sub, s)
	}
}

// lookup returns the row for the name, or names, at the front of args; nil if
// there is none.
func (t *table) lookup(args [][]byte) *Spec {
	s := t.lookupName(args[0])
	if s == nil || s.Sub == nil || len(args) < 2 {
		return s
	}
	return s.sub(args[1])
}

// lookupName returns the row of a command, never that of a subcommand.
func (t *table) lookupName(name []byte) *Spec {
	if len(name) > maxTableName || len(name) == 0 {
		return nil
	}
	a, b := nameWords(name)
	for i := slotOf(a, b); ; i = (i + 1) % tableSize {
		s := &t.slots[i]
		if s.spec == nil {
			return nil
		}
		// Equal words mean equal letters, but other bytes (digits, '-', '_')
		// share words with control characters: the names are compared too.
		if s.a == a && s.b == b && is(name, s.spec.Name) {
			return s.spec
		}
	}
}

// lookupFull returns the row for a full name such as "client|list".
func (t *table) lookupFull(name []byte) *Spec {
	n, sub, found := strings.Cut(string(name), "|")
	s := t.lookupName([]byte(n))
	if s == nil || !found {
		return s
	}
	if s.Sub == nil {
		return nil
	}
	return s.sub([]byte(sub))
}

// sub returns the row of a subcommand.
func (s *Spec) sub(name []byte) *Spec {
	for _, sub := range s.Sub {
		if is(name, sub.Name[len(s.Name)+1:]) {
			return sub
		}
	}
	return nil
}

// nameWords folds a name into two words, upper and lower case alike. Overlapping loads
// cover all lengths up to 16; of longer names some bytes in the middle are left out.
func nameWords(n []byte) (a, b uint64) {
	const lower = 0x2020202020202020
	switch {
	case len(n) >= 8:
		a = binary.LittleEndian.Uint64(n)
		b = binary.LittleEndian.Uint64(n[len(n)-8:])
	case len(n) >= 4:
		a = uint64(binary.LittleEndian.Uint32(n))
		b = uint64(binary.LittleEndian.Uint32(n[len(n)-4:]))
	default:
		a = uint64(n[0]) | uint64(n[len(n)/2])<<8 | uint64(n[len(n)-1])<<16
	}
	return a | lower, b | lower ^ uint64(len(n))<<56
}

func slotOf(a, b uint64) uint64 {
	h := (a ^ b*0x9E3779B97F4A7C15) * 0xD6E8FEB86659FD93
	return h >> 54 // tableSize is 1 << 10
}

func sprintf(format string, a ...any) string { return fmt.Sprintf(format, a...) }
