package command

func indexUnitArg() Arg {
	return oneOfArg("index_unit", tokenArg("byte", "BYTE"), tokenArg("bit", "BIT")).from("7.0.0").optional()
}

// bitRangeHistory is what has changed in the commands that look at a range of bits.
var bitRangeHistory = [][2]string{{"7.0.0", "BYTE and BIT say what the range counts in."}}

// bitmapCommands are the rows of Redis 7.0's bitmap group.
var bitmapCommands = []*Spec{
	{
		Name: "bitcount", Arity: -2, Flags: ReadOnly, Categories: CatBitmap, First: 1, Last: 1, Step: 1,
		KeySpecs: []KeySpec{keyAt(1, KeyRO|KeyAccess)},
		Handler:  cmdBitcount,
		Doc: Doc{Summary: "Returns how many bits of a string, or of a part of it, are set.",
			Since: "2.6.0", Group: "bitmap", Complexity: "O(N), N being the length of the part",
			History: bitRangeHistory,
			Args: []Arg{
				keyArg("key", 0),
				blockArg("index", valueArg("start", "integer"), valueArg("end", "integer"), indexUnitArg()).optional(),
			},
		},
	},
	{
		Name: "bitfield", Arity: -2, Flags: Write | DenyOOM, Categories: CatBitmap, First: 1, Last: 1, Step: 1,
		KeySpecs: []KeySpec{noted(keyAt(1, KeyRW|KeyAccess|KeyUpdate|KeyVariableFlags), "This command allows both access and modification of the key")},
		FlagsOf:  bitfieldKeyFlags,
		Handler:  cmdBitfield,
		Doc: Doc{Summary: "Reads and writes integers of any width at any bit of a string.",
			Since: "3.2.0", Group: "bitmap", Complexity: "O(1) for each operation",
			Args: []Arg{
				keyArg("key", 0),
				oneOfArg("operation",
					blockToken("GET", "encoding_offset", valueArg("encoding", "string"), valueArg("offset", "integer")),
					blockArg("write",
						oneOfToken("OVERFLOW", "wrap_sat_fail", tokenArg("wrap", "WRAP"), tokenArg("sat", "SAT"), tokenArg("fail", "FAIL")).optional(),
						oneOfArg("write_operation",
							blockToken("SET", "encoding_offset_value",
								valueArg("encoding", "string"), valueArg("offset", "integer"), valueArg("value", "integer")),
							blockToken("INCRBY", "encoding_offset_increment",
								valueArg("encoding", "string"), valueArg("offset", "integer"), valueArg("increment", "integer")),
						),
					),
				).optional().multiple(),
			},
		},
	},
	{
		Name: "bitfield_ro", Arity: -2, Flags: ReadOnly | Fast, Categories: CatBitmap, First: 1, Last: 1, Step: 1,
		KeySpecs: []KeySpec{keyAt(1, KeyRO|KeyAccess)},
		Handler:  cmdBitfieldRO,
		Doc: Doc{Summary: "Reads integers of any width at any bit of a string.",
			Since: "6.0.0", Group: "bitmap", Complexity: "O(1) for each operation",
			Args: []Arg{
				keyArg("key", 0),
				multiToken(blockToken("GET", "encoding_offset", valueArg("encoding", "string"), valueArg("offset", "integer")).optional().multiple()),
			},
		},
	},
	{
		Name: "bitop", Arity: -4, Flags: Write | DenyOOM, Categories: CatBitmap, First: 2, Last: -1, Step: 1,
		KeySpecs: []KeySpec{keyAt(2, KeyOW|KeyUpdate), keyRange(3, -1, 1, KeyRO|KeyAccess)},
		Handler:  cmdBitop,
		Doc: Doc{Summary: "Stores what AND, OR, XOR or NOT makes of the bits of strings.",
			Since: "2.6.0", Group: "bitmap", Complexity: "O(N), N being the length of the longest string",
			Args: []Arg{valueArg("operation", "string"), keyArg("destkey", 0), keyArg("key", 1).multiple()},
		},
	},
	{
		Name: "bitpos", Arity: -3, Flags: ReadOnly, Categories: CatBitmap, First: 1, Last: 1, Step: 1,
		KeySpecs: []KeySpec{keyAt(1, KeyRO|KeyAccess)},
		Handler:  cmdBitpos,
		Doc: Doc{Summary: "Returns the place of the first bit of a string, or of a part of it, that is set, or clear.",
			Since: "2.8.7", Group: "bitmap", Complexity: "O(N), N being the bytes that are looked at",
			History: bitRangeHistory,
			Args: []Arg{
				keyArg("key", 0),
				valueArg("bit", "integer"),
				blockArg("index",
					valueArg("start", "integer"),
					blockArg("end_index", valueArg("end", "integer"), indexUnitArg()).optional(),
				).optional(),
			},
		},
	},
	{
		Name: "getbit", Arity: 3, Flags: ReadOnly | Fast, Categories: CatBitmap, First: 1, Last: 1, Step: 1,
		KeySpecs: []KeySpec{keyAt(1, KeyRO|KeyAccess)},
		Handler:  cmdGetbit,
		Doc: Doc{Summary: "Returns one bit of a string, 0 behind its end.",
			Since: "2.2.0", Group: "bitmap", Complexity: "O(1)",
			Args: []Arg{keyArg("key", 0), valueArg("offset", "integer")},
		},
	},
	{
		Name: "setbit", Arity: 4, Flags: Write | DenyOOM, Categories: CatBitmap, First: 1, Last: 1, Step: 1,
		KeySpecs: []KeySpec{keyAt(1, KeyRW|KeyAccess|KeyUpdate)},
		Handler:  cmdSetbit,
		Doc: Doc{Summary: "Sets or clears one bit of a string, which grows as needed, and returns what it was.",
			Since: "2.2.0", Group: "bitmap", Complexity: "O(1)",
			Args: []Arg{keyArg("key", 0), valueArg("offset", "integer"), valueArg("value", "integer")},
		},
	},
}

func blockToken(token, name string, args ...Arg) Arg {
	a := blockArg(name, args...)
	a.Token = token
	return a
}

func oneOfToken(token, name string, args ...Arg) Arg {
	a := oneOfArg(name, args...)
	a.Token = token
	return a
}

func multiToken(a Arg) Arg {
	a.MultiToken = true
	return a
}
