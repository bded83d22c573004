package command

// hashExpiryCommands are the rows of what Redis 7.4 and 8.0 added to the hash group.
var hashExpiryCommands = []*Spec{
	{
		Name: "hexpire", Arity: -6, Flags: Write | DenyOOM | Fast, Categories: CatHash, First: 1, Last: 1, Step: 1,
		KeySpecs: []KeySpec{keyAt(1, KeyRW|KeyUpdate)},
		Handler:  cmdHexpire,
		Doc: Doc{Summary: "Lets fields of a hash expire after so many seconds.",
			Since: "7.4.0", Group: "hash", Complexity: "O(N), N being the number of fields given",
			Args: []Arg{keyArg("key", 0), valueArg("seconds", "integer"), fieldConditionArg(), fieldsArg()},
		},
	},
	{
		Name: "hexpireat", Arity: -6, Flags: Write | DenyOOM | Fast, Categories: CatHash, First: 1, Last: 1, Step: 1,
		KeySpecs: []KeySpec{keyAt(1, KeyRW|KeyUpdate)},
		Handler:  cmdHexpireat,
		Doc: Doc{Summary: "Lets fields of a hash expire at a Unix time in seconds.",
			Since: "7.4.0", Group: "hash", Complexity: "O(N), N being the number of fields given",
			Args: []Arg{keyArg("key", 0), valueArg("unix-time-seconds", "unix-time"), fieldConditionArg(), fieldsArg()},
		},
	},
	{
		Name: "hexpiretime", Arity: -5, Flags: ReadOnly | Fast, Categories: CatHash, First: 1, Last: 1, Step: 1,
		KeySpecs: []KeySpec{keyAt(1, KeyRO|KeyAccess)},
		Handler:  cmdHexpiretime,
		Doc: Doc{Summary: "Returns when fields of a hash expire, as Unix times in seconds.",
			Since: "7.4.0", Group: "hash", Complexity: "O(N), N being the number of fields given",
			Args: []Arg{keyArg("key", 0), fieldsArg()},
		},
	},
	{
		Name: "hgetdel", Arity: -5, Flags: Write | Fast, Categories: CatHash, First: 1, Last: 1, Step: 1,
		KeySpecs: []KeySpec{keyAt(1, KeyRW|KeyAccess|KeyDelete)},
		Handler:  cmdHgetdel,
		Doc: Doc{Summary: "Returns the values of fields of a hash and removes the fields.",
			Since: "8.0.0", Group: "hash", Complexity: "O(N), N being the number of fields given",
			Args: []Arg{keyArg("key", 0), fieldsArg()},
		},
	},
	{
		Name: "hgetex", Arity: -5, Flags: Write | Fast, Categories: CatHash, First: 1, Last: 1, Step: 1,
		KeySpecs: []KeySpec{keyAt(1, KeyRW|KeyAccess|KeyUpdate)},
		Handler:  cmdHgetex,
		Doc: Doc{Summary: "Returns the values of fields of a hash and changes when they expire.",
			Since: "8.0.0", Group: "hash", Complexity: "O(N), N being the number of fields given",
			Args: []Arg{keyArg("key", 0), fieldTimeArg(tokenArg("persist", "PERSIST")), fieldsArg()},
		},
	},
	{
		Name: "hpersist", Arity: -5, Flags: Write | Fast, Categories: CatHash, First: 1, Last: 1, Step: 1,
		KeySpecs: []KeySpec{keyAt(1, KeyRW|KeyUpdate)},
		Handler:  cmdHpersist,
		Doc: Doc{Summary: "Lets fields of a hash stay for good.",
			Since: "7.4.0", Group: "hash", Complexity: "O(N), N being the number of fields given",
			Args: []Arg{keyArg("key", 0), fieldsArg()},
		},
	},
	{
		Name: "hpexpire", Arity: -6, Flags: Write | DenyOOM | Fast, Categories: CatHash, First: 1, Last: 1, Step: 1,
		KeySpecs: []KeySpec{keyAt(1, KeyRW|KeyUpdate)},
		Handler:  cmdHpexpire,
		Doc: Doc{Summary: "Lets fields of a hash expire after so many milliseconds.",
			Since: "7.4.0", Group: "hash", Complexity: "O(N), N being the number of fields given",
			Args: []Arg{keyArg("key", 0), valueArg("milliseconds", "integer"), fieldConditionArg(), fieldsArg()},
		},
	},
	{
		Name: "hpexpireat", Arity: -6, Flags: Write | DenyOOM | Fast, Categories: CatHash, First: 1, Last: 1, Step: 1,
		KeySpecs: []KeySpec{keyAt(1, KeyRW|KeyUpdate)},
		Handler:  cmdHpexpireat,
		Doc: Doc{Summary: "Lets fields of a hash expire at a Unix time in milliseconds.",
			Since: "7.4.0", Group: "hash", Complexity: "O(N), N being the number of fields given",
			Args: []Arg{keyArg("key", 0), valueArg("unix-time-milliseconds", "unix-time"), fieldConditionArg(), fieldsArg()},
		},
	},
	{
		Name: "hpexpiretime", Arity: -5, Flags: ReadOnly | Fast, Categories: CatHash, First: 1, Last: 1, Step: 1,
		KeySpecs: []KeySpec{keyAt(1, KeyRO|KeyAccess)},
		Handler:  cmdHpexpiretime,
		Doc: Doc{Summary: "Returns when fields of a hash expire, as Unix times in milliseconds.",
			Since: "7.4.0", Group: "hash", Complexity: "O(N), N being the number of fields given",
			Args: []Arg{keyArg("key", 0), fieldsArg()},
		},
	},
	{
		Name: "hpttl", Arity: -5, Flags: ReadOnly | Fast, Categories: CatHash, First: 1, Last: 1, Step: 1,
		KeySpecs: []KeySpec{keyAt(1, KeyRO|KeyAccess)},
		Handler:  cmdHpttl,
		Doc: Doc{Summary: "Returns how many milliseconds fields of a hash have left.",
			Since: "7.4.0", Group: "hash", Complexity: "O(N), N being the number of fields given",
			Args: []Arg{keyArg("key", 0), fieldsArg()},
		},
	},
	{
		Name: "hsetex", Arity: -6, Flags: Write | DenyOOM | Fast, Categories: CatHash, First: 1, Last: 1, Step: 1,
		KeySpecs: []KeySpec{keyAt(1, KeyRW|KeyUpdate)},
		Handler:  cmdHsetex,
		Doc: Doc{Summary: "Sets fields of a hash and when they expire, on conditions.",
			Since: "8.0.0", Group: "hash", Complexity: "O(N), N being the number of fields given",
			Args: []Arg{
				keyArg("key", 0),
				oneOfArg("condition", tokenArg("fnx", "FNX"), tokenArg("fxx", "FXX")).optional(),
				fieldTimeArg(tokenArg("keepttl", "KEEPTTL")),
				Arg{Name: "fields", Type: "block", Token: "FIELDS", Args: []Arg{valueArg("numfields", "integer"), fieldValueArg()}},
			},
		},
	},
	{
		Name: "httl", Arity: -5, Flags: ReadOnly | Fast, Categories: CatHash, First: 1, Last: 1, Step: 1,
		KeySpecs: []KeySpec{keyAt(1, KeyRO|KeyAccess)},
		Handler:  cmdHttl,
		Doc: Doc{Summary: "Returns how many seconds fields of a hash have left.",
			Since: "7.4.0", Group: "hash", Complexity: "O(N), N being the number of fields given",
			Args: []Arg{keyArg("key", 0), fieldsArg()},
		},
	},
}

// fieldsArg describes FIELDS numfields field ….
func fieldsArg() Arg {
	return Arg{Name: "fields", Type: "block", Token: "FIELDS", Args: []Arg{
		valueArg("numfields", "integer"), valueArg("field", "string").multiple(),
	}}
}

// fieldConditionArg describes NX, XX, GT and LT.
func fieldConditionArg() Arg {
	return oneOfArg("condition", tokenArg("nx", "NX"), tokenArg("xx", "XX"), tokenArg("gt", "GT"), tokenArg("lt", "LT")).optional()
}

// fieldTimeArg describes the times that fields may be given, or other instead.
func fieldTimeArg(other Arg) Arg {
	return oneOfArg("expiration",
		optionArg("seconds", "integer", "EX"),
		optionArg("milliseconds", "integer", "PX"),
		optionArg("unix-time-seconds", "unix-time", "EXAT"),
		optionArg("unix-time-milliseconds", "unix-time", "PXAT"),
		other,
	).optional()
}
