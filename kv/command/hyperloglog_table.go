package command

// hllCommands are the rows of Redis 7.0's hyperloglog group.
var hllCommands = []*Spec{
	{
		Name: "pfadd", Arity: -2, Flags: Write | DenyOOM | Fast, Categories: CatHyperLogLog, First: 1, Last: 1, Step: 1,
		KeySpecs: []KeySpec{keyAt(1, KeyRW|KeyInsert)},
		Handler:  cmdPfadd,
		Doc: Doc{Summary: "Shows elements to a HyperLogLog, which is created if there is none.",
			Since: "2.8.9", Group: "hyperloglog", Complexity: "O(1) for each element",
			Args: []Arg{keyArg("key", 0), valueArg("element", "string").optional().multiple()},
		},
	},
	{
		Name: "pfcount", Arity: -2, Flags: ReadOnly, Categories: CatHyperLogLog, First: 1, Last: -1, Step: 1,
		KeySpecs: []KeySpec{noted(keyRange(1, -1, 1, KeyRW|KeyAccess), "RW because it may change the internal representation of the key, and propagate to replicas")},
		Handler:  cmdPfcount,
		Doc: Doc{Summary: "Estimates how many different elements one HyperLogLog, or several together, have seen.",
			Since: "2.8.9", Group: "hyperloglog", Complexity: "O(1) for one key that has not changed since the last time; O(N) for N keys, at some microseconds each",
			Args: []Arg{keyArg("key", 0).multiple()},
		},
	},
	{
		Name: "pfdebug", Arity: 3, Flags: Write | DenyOOM | Admin, Categories: CatHyperLogLog, First: 2, Last: 2, Step: 1,
		KeySpecs: []KeySpec{keyAt(2, KeyRW|KeyAccess)},
		Handler:  cmdPfdebug,
		Doc: Doc{Summary: "Shows the inside of a HyperLogLog.",
			Since: "2.8.9", Group: "hyperloglog", Complexity: "N/A", SysCmd: true,
			Args: []Arg{valueArg("subcommand", "string"), keyArg("key", 0)},
		},
	},
	{
		Name: "pfmerge", Arity: -2, Flags: Write | DenyOOM, Categories: CatHyperLogLog, First: 1, Last: -1, Step: 1,
		KeySpecs: []KeySpec{keyAt(1, KeyRW|KeyAccess|KeyInsert), keyRange(2, -1, 1, KeyRO|KeyAccess)},
		Handler:  cmdPfmerge,
		Doc: Doc{Summary: "Makes one HyperLogLog out of several, that of the destination included.",
			Since: "2.8.9", Group: "hyperloglog", Complexity: "O(N) for N keys, at some microseconds each",
			Args: []Arg{keyArg("destkey", 0), keyArg("sourcekey", 1).multiple()},
		},
	},
	{
		Name: "pfselftest", Arity: 1, Flags: Admin, Categories: CatHyperLogLog,
		Handler: cmdPfselftest,
		Doc: Doc{Summary: "Tests the HyperLogLog code.",
			Since: "2.8.9", Group: "hyperloglog", Complexity: "N/A", SysCmd: true,
		},
	},
}
