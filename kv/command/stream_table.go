package command

// trimArg describes the trimming options of XADD and XTRIM.
var trimArg = blockArg("trim",
	oneOfArg("strategy", tokenArg("maxlen", "MAXLEN"), tokenArg("minid", "MINID").from("6.2.0")),
	oneOfArg("operator", tokenArg("equal", "="), tokenArg("approximately", "~")).optional(),
	valueArg("threshold", "string"),
	optionArg("count", "integer", "LIMIT").from("6.2.0").optional(),
)

// streamsArg describes the keys of XREAD and XREADGROUP.
var streamsArg = Arg{Name: "streams", Type: "block", Token: "STREAMS", Args: []Arg{
	keyArg("key", 0).multiple(), valueArg("id", "string").multiple(),
}}

// streamsAfter returns the KeySpec of XREAD and XREADGROUP.
func streamsAfter(from int) []KeySpec {
	return []KeySpec{{Flags: KeyRO | KeyAccess, Keyword: "STREAMS", StartFrom: from, LastKey: -1, Step: 1, Limit: 2}}
}

// streamCommands are the rows of Redis 7.0's stream group but those of consumer groups.
var streamCommands = append([]*Spec{
	{
		Name: "xadd", Arity: -5, Flags: Write | DenyOOM | Fast, Categories: CatStream, First: 1, Last: 1, Step: 1,
		Tips:     []string{"nondeterministic_output"},
		KeySpecs: []KeySpec{noted(keyAt(1, KeyRW|KeyUpdate), "UPDATE instead of INSERT because of the optional trimming feature")},
		Handler:  cmdXadd,
		Doc: Doc{Summary: "Adds an entry at the end of a stream, which it creates if there is none, and may trim it.",
			Since: "5.0.0", Group: "stream", Complexity: "O(log N), and O(M) for M entries that are trimmed",
			Args: []Arg{
				keyArg("key", 0),
				tokenArg("nomkstream", "NOMKSTREAM").from("6.2.0").optional(),
				trimArg.optional(),
				oneOfArg("id_or_auto", tokenArg("auto_id", "*"), valueArg("id", "string")),
				blockArg("field_value", valueArg("field", "string"), valueArg("value", "string")).multiple(),
			},
		},
	},
	{
		Name: "xtrim", Arity: -4, Flags: Write, Categories: CatStream, First: 1, Last: 1, Step: 1,
		Tips:     []string{"nondeterministic_output"},
		KeySpecs: []KeySpec{keyAt(1, KeyRW|KeyDelete)},
		Handler:  cmdXtrim,
		Doc: Doc{Summary: "Deletes entries from the beginning of a stream.",
			Since: "5.0.0", Group: "stream", Complexity: "O(N), N being the number of entries that are deleted",
			Args: []Arg{keyArg("key", 0), trimArg},
		},
	},
	{
		Name: "xdel", Arity: -3, Flags: Write | Fast, Categories: CatStream, First: 1, Last: 1, Step: 1,
		KeySpecs: []KeySpec{keyAt(1, KeyRW|KeyDelete)},
		Handler:  cmdXdel,
		Doc: Doc{Summary: "Deletes the entries with these IDs and returns how many there were.",
			Since: "5.0.0", Group: "stream", Complexity: "O(log N) for each ID",
			Args: []Arg{keyArg("key", 0), valueArg("id", "string").multiple()},
		},
	},
	{
		Name: "xlen", Arity: 2, Flags: ReadOnly | Fast, Categories: CatStream, First: 1, Last: 1, Step: 1,
		KeySpecs: []KeySpec{keyAt(1, KeyRO)},
		Handler:  cmdXlen,
		Doc: Doc{Summary: "Returns how many entries a stream has.",
			Since: "5.0.0", Group: "stream", Complexity: "O(1)",
			Args: []Arg{keyArg("key", 0)},
		},
	},
	{
		Name: "xrange", Arity: -4, Flags: ReadOnly, Categories: CatStream, First: 1, Last: 1, Step: 1,
		KeySpecs: []KeySpec{keyAt(1, KeyRO|KeyAccess)},
		Handler:  cmdXrange,
		Doc: Doc{Summary: "Returns the entries between two IDs.",
			Since: "5.0.0", Group: "stream", Complexity: "O(log N + M), M being the number of entries returned",
			Args: []Arg{
				keyArg("key", 0), valueArg("start", "string"), valueArg("end", "string"),
				optionArg("count", "integer", "COUNT").optional(),
			},
		},
	},
	{
		Name: "xrevrange", Arity: -4, Flags: ReadOnly, Categories: CatStream, First: 1, Last: 1, Step: 1,
		KeySpecs: []KeySpec{keyAt(1, KeyRO|KeyAccess)},
		Handler:  cmdXrevrange,
		Doc: Doc{Summary: "Returns the entries between two IDs, the highest first.",
			Since: "5.0.0", Group: "stream", Complexity: "O(log N + M), M being the number of entries returned",
			Args: []Arg{
				keyArg("key", 0), valueArg("end", "string"), valueArg("start", "string"),
				optionArg("count", "integer", "COUNT").optional(),
			},
		},
	},
	{
		Name: "xread", Arity: -4, Flags: ReadOnly | Blocking | MovableKeys, Categories: CatStream,
		KeySpecs: streamsAfter(1),
		Keys:     streamKeys,
		Handler:  cmdXread,
		Doc: Doc{Summary: "Returns the entries of streams above given IDs, and may wait for some.",
			Since: "5.0.0", Group: "stream", Complexity: "O(log N + M) for each stream, M being the number of entries returned",
			Args: []Arg{
				optionArg("count", "integer", "COUNT").optional(),
				optionArg("milliseconds", "integer", "BLOCK").optional(),
				streamsArg,
			},
		},
	},
	{
		Name: "xsetid", Arity: -3, Flags: Write | DenyOOM | Fast, Categories: CatStream, First: 1, Last: 1, Step: 1,
		KeySpecs: []KeySpec{keyAt(1, KeyRW|KeyUpdate)},
		Handler:  cmdXsetid,
		Doc: Doc{Summary: "Sets what a stream remembers besides its entries; replication needs it.",
			Since: "5.0.0", Group: "stream", Complexity: "O(1)",
			Args: []Arg{
				keyArg("key", 0), valueArg("last-id", "string"),
				optionArg("entries_added", "integer", "ENTRIESADDED").from("7.0.0").optional(),
				optionArg("max_deleted_entry_id", "string", "MAXDELETEDID").from("7.0.0").optional(),
			},
		},
	},
	{
		Name: "xinfo", Arity: -2,
		Doc: Doc{Summary: "Groups the commands that look into a stream.",
			Since: "5.0.0", Group: "stream", Complexity: "Depends on the subcommand.",
		},
		Sub: []*Spec{
			{
				Name: "xinfo|consumers", Arity: 4, Flags: ReadOnly, Categories: CatStream, First: 2, Last: 2, Step: 1,
				Tips:     []string{"nondeterministic_output"},
				KeySpecs: []KeySpec{keyAt(2, KeyRO|KeyAccess)},
				Handler:  cmdXinfoConsumers,
				Doc: Doc{Summary: "Describes the consumers of a group.",
					Since: "5.0.0", Group: "stream", Complexity: "O(N), N being the number of consumers",
					Args: []Arg{keyArg("key", 0), valueArg("groupname", "string")},
				},
			},
			{
				Name: "xinfo|groups", Arity: 3, Flags: ReadOnly, Categories: CatStream, First: 2, Last: 2, Step: 1,
				KeySpecs: []KeySpec{keyAt(2, KeyRO|KeyAccess)},
				Handler:  cmdXinfoGroups,
				Doc: Doc{Summary: "Describes the groups of a stream.",
					Since: "5.0.0", Group: "stream", Complexity: "O(N), N being the number of groups",
					Args: []Arg{keyArg("key", 0)},
				},
			},
			{
				Name: "xinfo|help", Arity: 2, Flags: Loading | Stale, Categories: CatStream,
				Handler: cmdXinfoHelp,
				Doc:     Doc{Summary: "Lists the subcommands.", Since: "5.0.0", Group: "stream", Complexity: "O(1)"},
			},
			{
				Name: "xinfo|stream", Arity: -3, Flags: ReadOnly, Categories: CatStream, First: 2, Last: 2, Step: 1,
				KeySpecs: []KeySpec{keyAt(2, KeyRO|KeyAccess)},
				Handler:  cmdXinfoStream,
				Doc: Doc{Summary: "Describes a stream, with FULL its groups as well.",
					Since: "5.0.0", Group: "stream", Complexity: "O(N), N being the number of the stream's blocks",
					Args: []Arg{
						keyArg("key", 0),
						{Name: "full", Type: "block", Token: "FULL", Optional: true, Args: []Arg{
							optionArg("count", "integer", "COUNT").optional(),
						}},
					},
				},
			},
		},
	},
}, streamGroupCommands...)
