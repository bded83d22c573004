package command

import (
	"bytes"
	"slices"

	"kvd/kv"
	"kvd/kv/packed"
	"kvd/kv/resp"
)

// SORT and SORT_RO. What is sorted is read to its end first; the keys that BY and GET
// refer to are looked up one by one, under all locks, since nobody knows them before.

const errSortScore = "ERR One or more scores can't be converted into double"

// sortOptions are the arguments of SORT.
type sortOptions struct {
	desc, alpha   bool
	start, count  int64    // of LIMIT
	by            []byte   // nil: the elements themselves
	get           [][]byte // patterns
	store         []byte   // nil: the result is replied
	noSort        bool     // the pattern of BY is a constant
	hasPatternKey bool     // BY or GET refers to other keys
}

// scanSort goes through the arguments of SORT as far as they are right, with no replies. bad
// tells whether they are not, in number those of LIMIT.
func scanSort(args [][]byte, mayStore bool) (o sortOptions, bad, number bool) {
	o.count = -1
	for i := 2; i < len(args); i++ {
		word, left := option(args[i]), len(args)-i-1
		switch {
		case is(word, "asc"):
			o.desc = false
		case is(word, "desc"):
			o.desc = true
		case is(word, "alpha"):
			o.alpha = true
		case is(word, "limit") && left >= 2:
			var ok, ok2 bool
			o.start, ok = resp.ParseInt(args[i+1])
			o.count, ok2 = resp.ParseInt(args[i+2])
			if !ok || !ok2 {
				return o, true, true
			}
			i += 2
		case mayStore && is(word, "store") && left >= 1:
			i++
			o.store = args[i]
		case is(word, "by") && left >= 1:
			i++
			o.by = args[i]
			star := bytes.IndexByte(option(o.by), '*') >= 0
			o.noSort = o.noSort || !star
			o.hasPatternKey = o.hasPatternKey || star
		case is(word, "get") && left >= 1:
			i++
			o.get = append(o.get, args[i])
			o.hasPatternKey = o.hasPatternKey || bytes.IndexByte(option(args[i]), '*') >= 0
		default:
			return o, true, false
		}
	}
	return o, false, false
}

// sortLock locks everything if there are patterns.
func sortLock(args [][]byte) LockMode {
	if o, _, _ := scanSort(args, true); o.hasPatternKey {
		return LockAll
	}
	return LockKeys
}

// sortKeys returns the key that is sorted and the one behind the last STORE, found as Redis
// finds it: whatever stands behind other options is skipped.
func sortKeys(args [][]byte) [][]byte {
	keys := args[1:2:2]
	var store []byte
	for i := 2; i < len(args); i++ {
		switch word := option(args[i]); {
		case is(word, "limit"):
			i += 2
		case is(word, "get"), is(word, "by"):
			i++
		case is(word, "store") && i+1 < len(args):
			i++
			store = args[i]
		}
	}
	if store != nil {
		keys = append(keys, store)
	}
	return keys
}

// sortROKeys returns the only key of SORT_RO.
func sortROKeys(args [][]byte) [][]byte { return args[1:2:2] }

func cmdSort(x *Ctx)   { x.sort(true) }
func cmdSortRO(x *Ctx) { x.sort(false) }

func (x *Ctx) sort(mayStore bool) {
	o, bad, number := scanSort(x.Args, mayStore)
	switch {
	case number:
		x.Err(errNotInteger)
		return
	case bad:
		x.Err(errSyntax)
		return
	}
	it, found := x.lookupRead(x.Args[1])
	if found && it.Type != kv.TypeList && it.Type != kv.TypeSet && it.Type != kv.TypeZset {
		x.Err(errWrongType)
		return
	}
	if o.noSort && found && it.Type == kv.TypeSet && o.store != nil {
		// The result must not depend on the order in which a set happens to lie.
		o.noSort, o.alpha, o.by = false, true, nil
	}
	length := int64(0)
	if found {
		length = it.Len()
	}
	from, to := o.window(length)
	list := x.sortInput(&o, &it, length, from, to)
	if !o.noSort {
		if !x.weigh(&o, list) {
			x.Err(errSortScore)
			return
		}
		list = orderBy(&o, list, from, to)
	}
	if o.store != nil {
		x.storeSorted(&o, list)
	} else {
		x.replySorted(&o, list)
	}
}

// window returns the part [from, to) that LIMIT leaves of n elements.
func (o *sortOptions) window(n int64) (from, to int64) {
	from = min(max(o.start, 0), n)
	count := min(max(o.count, -1), n)
	if count < 0 {
		return from, n
	}
	return from, min(from+count, n)
}

// sortItem is an element with what it is sorted by.
type sortItem struct {
	elem  packed.Value
	score float64
	text  []byte // with ALPHA and BY; nil if there is none
}

// sortInput reads the elements: all of them to be sorted, else those of the window. Without
// sorting lists and sorted sets keep their order, DESC turns it round.
func (x *Ctx) sortInput(o *sortOptions, it *kv.Item, length, from, to int64) []*sortItem {
	if length == 0 || o.noSort && from == to {
		return nil
	}
	backwards := o.noSort && o.desc && it.Type != kv.TypeSet
	if !o.noSort {
		from, to = 0, length
	}
	if backwards {
		from, to = length-to, length-from
	}
	items, list := make([]sortItem, to-from), make([]*sortItem, 0, to-from)
	x.eachFrom(it, from, to-from, func(v *packed.Value) bool {
		item := &items[len(list)]
		item.elem = *v
		list = append(list, item)
		return true
	})
	if backwards {
		slices.Reverse(list)
	}
	return list
}

// eachFrom calls fn with n elements of the value of the command's key from a rank on.
func (x *Ctx) eachFrom(it *kv.Item, from, n int64, fn func(v *packed.Value) bool) {
	db, key := x.Client.db, x.Args[1]
	switch {
	case it.Type == kv.TypeList:
		var l kv.List
		if x.Tx.OpenList(&l, db, key) == nil {
			l.Range(from, n, fn)
		}
	case it.Type == kv.TypeZset && it.Encoding == kv.EncTree:
		var z kv.Zset
		if x.Tx.OpenZset(&z, db, key) != nil {
			return
		}
		var e kv.ZsetElement
		for at := z.At(from); n > 0 && at.Next(&e); n-- {
			fn(&packed.Value{Text: e.Member}) // the tree's own bytes
		}
	default:
		elements := it.Elements()
		var e kv.Element
		for i := int64(0); i < from+n && elements.Next(&e); i++ {
			if i >= from {
				fn(&e.Member)
			}
		}
	}
}

// weigh finds out what the elements are sorted by. It is false if a score is no number.
func (x *Ctx) weigh(o *sortOptions, list []*sortItem) bool {
	if o.alpha && o.by == nil {
		return true
	}
	fine := true
	by := parsePattern(o.by)
	var texts byteRoom
	for _, item := range list {
		v, ok := item.elem, true
		if o.by != nil {
			v, ok = x.patternValue(&by, &item.elem)
		}
		switch {
		case !ok:
		case o.alpha:
			item.text = texts.value(&v)
		case v.IsInt:
			item.score = float64(v.Int)
		default:
			if item.score, ok = sortScore(v.Text); !ok {
				fine = false
			}
		}
	}
	return fine
}

// sortPattern is a pattern of BY or GET: the string at a key, or with -> a field of the hash there.
type sortPattern struct {
	element       bool // "#": the element itself
	constant      bool // without a *: nothing
	before, after []byte
	field         []byte // nil: no hash
}

func parsePattern(pattern []byte) (p sortPattern) {
	star := bytes.IndexByte(option(pattern), '*')
	if len(option(pattern)) == 1 && pattern[0] == '#' {
		return sortPattern{element: true}
	}
	if star < 0 {
		return sortPattern{constant: true}
	}
	p.before, p.after = pattern[:star], pattern[star+1:]
	// Redis looks for -> as C does: not behind a zero byte, and not at the end.
	if i := bytes.Index(option(p.after), []byte("->")); i >= 0 && i+2 < len(p.after) && p.after[i+2] != 0 {
		p.after, p.field = p.after[:i], p.after[i+2:]
	}
	return p
}

// patternValue returns what a pattern stands for when * is replaced by an element.
func (x *Ctx) patternValue(p *sortPattern, elem *packed.Value) (v packed.Value, ok bool) {
	switch {
	case p.element:
		return *elem, true
	case p.constant:
		return v, false
	}
	x.Scratch = append(x.Scratch[:0], p.before...)
	x.Scratch = elem.Append(x.Scratch)
	x.Scratch = append(x.Scratch, p.after...)
	it, ok := x.lookupRead(x.Scratch)
	switch {
	case !ok:
		return v, false
	case p.field != nil:
		if it.Type != kv.TypeHash {
			return v, false
		}
		v, ok, err := x.Tx.HashGet(x.Client.db, x.Scratch, p.field)
		return v, ok && err == nil
	case it.Type != kv.TypeString:
		return v, false
	}
	return packed.Value{Text: wholeString(&it)}, true
}

// wholeString returns a string in one piece, borrowed if it lies so.
func wholeString(it *kv.Item) []byte {
	if it.Encoding != kv.EncChunks {
		return it.Value
	}
	text := make([]byte, 0, it.Len())
	chunks := it.Elements()
	var e kv.Element
	for chunks.Next(&e) {
		text = e.Member.Append(text)
	}
	return text
}

// eachSorted calls fn with what the command returns for the elements; nil is a value that
// does not exist.
func (x *Ctx) eachSorted(o *sortOptions, list []*sortItem, fn func(v *packed.Value)) {
	patterns := make([]sortPattern, len(o.get))
	for i := range patterns {
		patterns[i] = parsePattern(o.get[i])
	}
	for _, item := range list {
		if len(o.get) == 0 {
			fn(&item.elem)
		}
		for i := range patterns {
			if v, ok := x.patternValue(&patterns[i], &item.elem); ok {
				fn(&v)
			} else {
				fn(nil)
			}
		}
	}
}

func (x *Ctx) replySorted(o *sortOptions, list []*sortItem) {
	x.Array(len(list) * max(len(o.get), 1))
	x.eachSorted(o, list, func(v *packed.Value) {
		if v == nil {
			x.Null()
		} else {
			x.element(v)
		}
	})
}

// storeSorted makes the key of STORE a list of the result, or deletes it if there is none, and
// replies the length.
func (x *Ctx) storeSorted(o *sortOptions, list []*sortItem) {
	elems := make([][]byte, 0, len(list)*max(len(o.get), 1))
	var texts byteRoom
	x.eachSorted(o, list, func(v *packed.Value) {
		text := []byte{}
		if v != nil {
			text = texts.value(v)
		}
		elems = append(elems, text)
	})
	db := x.Client.db
	if x.Tx.Delete(db, o.store) && len(elems) > 0 {
		x.Tx.MarkChanged(-1)
	}
	var l kv.List
	if err := x.Tx.OpenList(&l, db, o.store); err != nil {
		x.storeErr(err)
		return
	}
	if err := l.Push(kv.Right, elems); err != nil {
		x.storeErr(err)
		return
	}
	x.Int(int64(len(elems)))
}
