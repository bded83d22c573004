package command

import (
	"kvd/kv/internal/glob"
)

// COMMAND and its subcommands answer from the table alone.

var commandHelp = helpText("COMMAND",
	"(no subcommand)", "Describe all commands.",
	"COUNT", "Return the number of commands.",
	"DOCS [<name> ...]", "Return the documentation of the named commands, or of all.",
	"GETKEYS <command line>", "Return the keys of a complete command.",
	"GETKEYSANDFLAGS <command line>", "Return the keys of a complete command and what it does with them.",
	"INFO [<name> ...]", "Describe the named commands, or all.",
	"LIST [FILTERBY (MODULE <name> | ACLCAT <category> | PATTERN <pattern>)]", "Return the names of commands.",
)

// flagNames are the flags in the order of COMMAND INFO.
var flagNames = []struct {
	f    Flags
	name string
}{
	{Write, "write"}, {ReadOnly, "readonly"}, {DenyOOM, "denyoom"}, {Admin, "admin"}, {PubSub, "pubsub"},
	{NoScript, "noscript"}, {Blocking, "blocking"}, {Loading, "loading"}, {Stale, "stale"}, {SkipMonitor, "skip_monitor"},
	{SkipSlowlog, "skip_slowlog"}, {Asking, "asking"}, {Fast, "fast"}, {NoAuth, "no_auth"}, {MayReplicate, "may_replicate"},
	{NoMandatoryKeys, "no_mandatory_keys"}, {NoAsyncLoading, "no_async_loading"}, {NoMulti, "no_multi"},
	{MovableKeys, "movablekeys"}, {AllowBusy, "allow_busy"},
}

// categoryNames are the names of the bits of Categories, from the lowest on.
var categoryNames = []string{
	"keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo", "stream",
	"pubsub", "admin", "fast", "slow", "blocking", "dangerous", "connection", "transaction", "scripting",
}

// keyFlagNames are the names of the bits of KeyFlags, from the lowest on.
var keyFlagNames = []string{
	"RO", "RW", "OW", "RM", "access", "update", "insert", "delete", "not_key", "incomplete", "variable_flags",
}

func cmdCommand(x *Ctx) {
	x.Array(len(x.state.table.list))
	for _, s := range x.state.table.list {
		x.commandInfo(s)
	}
}

func cmdCommandHelp(x *Ctx)  { x.Strings(commandHelp) }
func cmdCommandCount(x *Ctx) { x.Int(int64(len(x.state.table.list))) }

func cmdCommandInfo(x *Ctx) {
	if len(x.Args) == 2 {
		cmdCommand(x)
		return
	}
	x.Array(len(x.Args) - 2)
	for _, name := range x.Args[2:] {
		if s := x.state.table.lookupFull(name); s != nil {
			x.commandInfo(s)
		} else {
			x.Null()
		}
	}
}

// commandInfo replies the ten fields of COMMAND INFO.
func (x *Ctx) commandInfo(s *Spec) {
	x.Array(10)
	x.BulkString(s.Name)
	x.Int(int64(s.Arity))
	var names []string
	for _, f := range flagNames {
		if s.Flags&f.f != 0 {
			names = append(names, f.name)
		}
	}
	x.statusSet("", names)
	x.Int(int64(s.First))
	x.Int(int64(s.Last))
	x.Int(int64(s.Step))
	x.statusSet("@", bitNames(uint32(s.Categories), categoryNames))
	x.Set(len(s.Tips))
	for _, t := range s.Tips {
		x.BulkString(t)
	}
	x.Set(len(s.KeySpecs))
	for i := range s.KeySpecs {
		x.keySpec(&s.KeySpecs[i])
	}
	if len(s.Sub) == 0 { // in RESP3 Redis has an empty set, but an array of subcommands
		x.Set(0)
		return
	}
	x.Array(len(s.Sub))
	for _, sub := range s.Sub {
		x.commandInfo(sub)
	}
}

func bitNames(bits uint32, all []string) (names []string) {
	for i, n := range all {
		if bits&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return names
}

// statusSet replies a set of simple strings.
func (x *Ctx) statusSet(prefix string, names []string) {
	x.Set(len(names))
	for _, n := range names {
		x.Simple(prefix + n)
	}
}

func (x *Ctx) keySpec(k *KeySpec) {
	if k.Notes != "" {
		x.Map(4)
		x.pair("notes", k.Notes)
	} else {
		x.Map(3)
	}
	x.BulkString("flags")
	x.statusSet("", bitNames(uint32(k.Flags), keyFlagNames))
	switch {
	case k.Keyword != "":
		x.search("begin_search", "keyword", 2)
		x.pair("keyword", k.Keyword)
		x.field("startfrom", k.StartFrom)
	case k.Index != 0:
		x.search("begin_search", "index", 1)
		x.field("index", k.Index)
	default:
		x.search("begin_search", "unknown", 0)
		x.search("find_keys", "unknown", 0)
		return
	}
	if k.KeyNum {
		x.search("find_keys", "keynum", 3)
		x.field("keynumidx", k.KeyNumIndex)
		x.field("firstkey", k.FirstKey)
		x.field("keystep", k.Step)
		return
	}
	x.search("find_keys", "range", 3)
	x.field("lastkey", k.LastKey)
	x.field("keystep", k.Step)
	x.field("limit", k.Limit)
}

// search begins one of the two halves of a key spec; n pairs follow.
func (x *Ctx) search(name, typ string, n int) {
	x.BulkString(name)
	x.Map(2)
	x.pair("type", typ)
	x.BulkString("spec")
	x.Map(n)
}

func (x *Ctx) field(name string, n int) {
	x.BulkString(name)
	x.Int(int64(n))
}

func cmdCommandDocs(x *Ctx) {
	var specs []*Spec
	if len(x.Args) == 2 {
		specs = x.state.table.list
	}
	for _, name := range x.Args[2:] {
		if s := x.state.table.lookupFull(name); s != nil {
			specs = append(specs, s)
		}
	}
	x.Map(len(specs))
	for _, s := range specs {
		x.BulkString(s.Name)
		x.commandDocs(s)
	}
}

// commandDocs replies the map that describes one command.
func (x *Ctx) commandDocs(s *Spec) {
	d := &s.Doc
	n := 3
	for _, has := range []bool{
		d.Complexity != "", d.Deprecated != "" || d.SysCmd, d.Deprecated != "", d.Deprecated != "",
		len(d.History) > 0, len(d.Args) > 0, len(s.Sub) > 0,
	} {
		if has {
			n++
		}
	}
	x.Map(n)
	x.pair("summary", d.Summary)
	x.pair("since", d.Since)
	x.pair("group", d.Group)
	if d.Complexity != "" {
		x.pair("complexity", d.Complexity)
	}
	x.docFlags(d)
	if len(d.History) > 0 {
		x.BulkString("history")
		x.Set(len(d.History))
		for _, h := range d.History {
			x.Array(2)
			x.BulkString(h[0])
			x.BulkString(h[1])
		}
	}
	if len(d.Args) > 0 {
		x.BulkString("arguments")
		x.docArgs(d.Args)
	}
	if len(s.Sub) > 0 {
		x.BulkString("subcommands")
		x.Map(len(s.Sub))
		for _, sub := range s.Sub {
			x.BulkString(sub.Name)
			x.commandDocs(sub)
		}
	}
}

func (x *Ctx) docFlags(d *Doc) {
	var flags []string
	if d.Deprecated != "" {
		flags = append(flags, "deprecated")
	}
	if d.SysCmd {
		flags = append(flags, "syscmd")
	}
	if len(flags) > 0 {
		x.BulkString("doc_flags")
		x.statusSet("", flags)
	}
	if d.Deprecated != "" {
		x.pair("deprecated_since", d.Deprecated)
		x.pair("replaced_by", d.Instead)
	}
}

// docArgs replies a list of arguments, each a map.
func (x *Ctx) docArgs(args []Arg) {
	x.Array(len(args))
	for i := range args {
		a := &args[i]
		var flags []string
		for _, f := range []struct {
			on   bool
			name string
		}{{a.Optional, "optional"}, {a.Multiple, "multiple"}, {a.MultiToken, "multiple_token"}} {
			if f.on {
				flags = append(flags, f.name)
			}
		}
		texts := [][2]string{{"token", a.Token}, {"summary", a.Summary}, {"since", a.Since}, {"deprecated_since", a.Deprecated}}
		n := 2
		for _, has := range []bool{
			a.KeySpec > 0, a.Token != "", a.Summary != "", a.Since != "", a.Deprecated != "", len(flags) > 0, len(a.Args) > 0,
		} {
			if has {
				n++
			}
		}
		x.Map(n)
		x.pair("name", a.Name)
		x.pair("type", a.Type)
		if a.KeySpec > 0 {
			x.field("key_spec_index", a.KeySpec-1)
		}
		for _, t := range texts {
			if t[1] != "" {
				x.pair(t[0], t[1])
			}
		}
		if len(flags) > 0 {
			x.BulkString("flags")
			x.statusSet("", flags)
		}
		if len(a.Args) > 0 {
			x.BulkString("arguments")
			x.docArgs(a.Args)
		}
	}
}

func cmdCommandList(x *Ctx) {
	keep := func(*Spec) bool { return true }
	switch a := x.Args; {
	case len(a) == 2:
	case len(a) != 5 || !is(a[2], "filterby"):
		x.Err(errSyntax)
		return
	case is(a[3], "module"):
		keep = func(*Spec) bool { return false }
	case is(a[3], "aclcat"):
		var cat Categories
		for i, n := range categoryNames {
			if is(a[4], n) {
				cat = 1 << i
			}
		}
		keep = func(s *Spec) bool { return s.Categories&cat != 0 }
	case is(a[3], "pattern"):
		keep = func(s *Spec) bool { return glob.Match(a[4], []byte(s.Name), true) }
	default:
		x.Err(errSyntax)
		return
	}
	var names []string
	for _, s := range x.state.table.all {
		if keep(s) {
			names = append(names, s.Name)
		}
	}
	x.Array(len(names))
	for _, n := range names {
		x.BulkString(n)
	}
}

// getKeys finds the keys of the command line behind COMMAND GETKEYS and its
// likes, or replies the error.
func (x *Ctx) getKeys() (s *Spec, args, keys [][]byte, ok bool) {
	args = x.Args[2:]
	s = x.state.table.lookup(args)
	switch {
	case s == nil:
		x.Err(errGetKeysCommand)
	case s.First == 0 && s.Keys == nil && len(s.KeySpecs) == 0:
		x.Err(errGetKeysNone)
	case !s.arityOK(len(args)):
		x.Err(errGetKeysArity)
	default:
		keys = s.appendKeys(nil, args)
		if len(keys) > 0 {
			return s, args, keys, true
		}
		x.Err(errGetKeysArguments)
	}
	return nil, nil, nil, false
}

func cmdCommandGetKeys(x *Ctx) {
	_, _, keys, ok := x.getKeys()
	if !ok {
		return
	}
	x.Array(len(keys))
	for _, k := range keys {
		x.Bulk(k)
	}
}

func cmdCommandGetKeysAndFlags(x *Ctx) {
	s, args, keys, ok := x.getKeys()
	if !ok {
		return
	}
	x.Array(len(keys))
	for i, k := range keys {
		x.Array(2)
		x.Bulk(k)
		x.statusSet("", bitNames(uint32(s.keyFlags(i, args)), keyFlagNames))
	}
}

// keyFlags returns what the command does with its i-th key.
func (s *Spec) keyFlags(i int, args [][]byte) KeyFlags {
	if s.FlagsOf != nil {
		return s.FlagsOf(args)
	}
	last := len(s.KeySpecs) - 1
	if i < last && (s.KeySpecs[i].Index != 0 || s.KeySpecs[i].Keyword != "") {
		return s.KeySpecs[i].Flags
	}
	return s.KeySpecs[last].Flags // also of SORT, whose second are keys that nobody knows
}

// setKeyFlags are what SET does with its key: it reads it too with GET.
func setKeyFlags(args [][]byte) KeyFlags {
	for _, a := range args[min(3, len(args)):] {
		if is(a, "get") || is(a, "ifeq") {
			return KeyRW | KeyAccess | KeyUpdate
		}
	}
	return KeyOW | KeyUpdate
}
