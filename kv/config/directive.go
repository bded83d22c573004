package config

import (
	"math"
	"strings"
)

// Class says what kvd does with a directive; see the package comment.
type Class uint8

// The classes.
const (
	Honoured Class = iota + 1
	Harmless
	Refused
)

func (c Class) String() string {
	return [...]string{"", "honoured", "harmless", "refused"}[c]
}

type kind uint8

const (
	kindBool    kind = iota // yes or no
	kindInt                 // a decimal integer
	kindMemory              // bytes, with units
	kindPercent             // bytes, with units, or a percentage of what the directive says
	kindOctal               // file permissions
	kindText                // one string
	kindEnum                // one of several words
	kindFlags               // several of several words
	kindSpecial             // what directive.parse makes of it
)

type flags uint8

const (
	immutable   flags = 1 << iota // only at the start
	protected                     // CONFIG SET needs enable-protected-configs
	denyLoading                   // no CONFIG SET while the dump is loading
	sensitive                     // a secret
	hidden                        // only shown when asked for by its full name
	multi                         // takes several arguments
	absentEmpty                   // "" means not set: CONFIG REWRITE leaves the line out
)

// directive is a row of the tables. why is the end of the sentence that users read: for Harmless, why it has no effect,
// for Refused, what is missing.
type directive struct {
	name, alias string
	kind        kind
	flags       flags
	class       Class
	why         string
	def         string // the default, as in a configuration file
	min, max    int64
	enum        []enumItem
	// check finds what the type alone does not: it returns the text of an error, or "".
	check func(v value) string
	// clamp turns a value that Redis silently corrects into the one that it uses.
	clamp func(n int64) int64
	// parse and lines are for kindSpecial.
	parse func(l *loadState, prev value, args []string) (value, string)
	lines func(name string, v value) []string
}

// enumItem is a word that an enumeration accepts. Of several with one number the first is the one that is shown.
type enumItem struct {
	word   string
	number int64
}

// loadState is what a parser has to know about the file being read; nil in CONFIG SET.
type loadState struct {
	saveSeen bool // a save directive came already: further ones add to it
}

func yesNo(name string, def bool) directive {
	text := "no"
	if def {
		text = "yes"
	}
	return directive{name: name, kind: kindBool, def: text}
}

func integer(name string, lo, hi int64, def string) directive {
	return directive{name: name, kind: kindInt, min: lo, max: hi, def: def}
}

func memory(name string, lo, hi int64, def string) directive {
	return directive{name: name, kind: kindMemory, min: lo, max: hi, def: def}
}

func text(name, def string) directive { return directive{name: name, kind: kindText, def: def} }

// path is a string whose empty value means that there is none.
func path(name string) directive {
	return directive{name: name, kind: kindText, flags: absentEmpty}
}

func choice(name, def string, items ...enumItem) directive {
	return directive{name: name, kind: kindEnum, def: def, enum: items}
}

// words numbers the items of an enumeration in order.
func words(w ...string) []enumItem {
	items := make([]enumItem, len(w))
	for i := range w {
		items[i] = enumItem{w[i], int64(i)}
	}
	return items
}

func (d directive) as(alias string) directive { d.alias = alias; return d }
func (d directive) with(f flags) directive    { d.flags |= f; return d }
func (d directive) checked(f func(value) string) directive {
	d.check = f
	return d
}
func (d directive) clamped(lo, hi int64) directive {
	d.clamp = func(n int64) int64 { return min(max(n, lo), hi) }
	return d
}
func (d directive) honoured() directive           { d.class = Honoured; return d }
func (d directive) harmless(why string) directive { d.class, d.why = Harmless, why; return d }
func (d directive) refused(why string) directive  { d.class, d.why = Refused, why; return d }

const (
	maxInt  = math.MaxInt32 // int of C
	maxUint = math.MaxUint32
	maxLong = math.MaxInt64
)

// The tables and what follows from them; never written after init.
var (
	directives []directive
	index      map[string]int // by lower-case name and alias
	defaults   []value        // by row
)

func init() {
	directives = append(tableNow(), tableLater()...)
	index = indexRows(directives)
	defaults = defaultValues(directives)
}

func indexRows(rows []directive) map[string]int {
	byName := make(map[string]int, 2*len(rows))
	for i, d := range rows {
		for _, name := range []string{d.name, d.alias} {
			if name == "" {
				continue
			}
			if _, twice := byName[name]; twice {
				panic("config: directive " + name + " stands twice in the tables")
			}
			byName[name] = i
		}
	}
	return byName
}

func defaultValues(rows []directive) []value {
	values := make([]value, len(rows))
	for i := range rows {
		args := []string{rows[i].def}
		if rows[i].flags&multi != 0 {
			args = strings.Fields(rows[i].def)
		}
		v, problem := rows[i].parseArgs(nil, value{}, args)
		if problem != "" {
			panic("config: default of " + rows[i].name + ": " + problem)
		}
		values[i] = v
	}
	return values
}

// lookup finds a row by name or alias, in any case.
func lookup(name string) (row int, ok bool) {
	row, ok = index[strings.ToLower(name)]
	return row, ok
}

// active reports whether a refused directive's value asks for what kvd does not have.
func (d *directive) active(row int, v value) bool {
	return d.class == Refused && v.text != defaults[row].text
}

// refusal is the sentence for a user who asked for it. Secrets are left out of it.
func (d *directive) refusal(v value) string {
	shown := d.name + " " + quoteIfNeeded(v.text)
	if d.flags&sensitive != 0 {
		shown = d.name
	}
	return "kvd does not support '" + shown + "' yet: " + d.why
}
