package command

// sortCommands are SORT and its variant that only reads.
var sortCommands = []*Spec{
	{
		Name: "sort", Arity: -2, Flags: Write | DenyOOM | MovableKeys, Categories: CatSet | CatSortedSet | CatList | CatDangerous, First: 1, Last: 1, Step: 1,
		Keys: sortKeys, LockOf: sortLock,
		KeySpecs: []KeySpec{
			keyAt(1, KeyRO|KeyAccess),
			noted(KeySpec{Flags: KeyRO | KeyAccess}, "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content of the key we sort"),
			noted(KeySpec{Flags: KeyOW | KeyUpdate}, "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear anywhere in the argument array"),
		},
		Handler: cmdSort,
		Doc: Doc{Summary: "Sorts the elements of a list, a set or a sorted set by themselves or by other keys.",
			Since: "1.0.0", Group: "generic", Complexity: "O(N+M*log(M)), N being the number of elements, M of those that are sorted",
			Args: []Arg{
				keyArg("key", 0),
				{Name: "pattern", Type: "pattern", Token: "BY", KeySpec: 2, Optional: true},
				{Name: "offset_count", Type: "block", Token: "LIMIT", Optional: true, Args: []Arg{valueArg("offset", "integer"), valueArg("count", "integer")}},
				{Name: "pattern", Type: "pattern", Token: "GET", KeySpec: 2, Optional: true, Multiple: true, MultiToken: true},
				oneOfArg("order", tokenArg("asc", "ASC"), tokenArg("desc", "DESC")).optional(),
				tokenArg("sorting", "ALPHA").optional(),
				{Name: "destination", Type: "key", Token: "STORE", KeySpec: 3, Optional: true},
			},
		},
	},
	{
		Name: "sort_ro", Arity: -2, Flags: ReadOnly | MovableKeys, Categories: CatSet | CatSortedSet | CatList | CatDangerous, First: 1, Last: 1, Step: 1,
		Keys: sortROKeys, LockOf: sortLock,
		KeySpecs: []KeySpec{
			keyAt(1, KeyRO|KeyAccess),
			noted(KeySpec{Flags: KeyRO | KeyAccess}, "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content of the key we sort"),
		},
		Handler: cmdSortRO,
		Doc: Doc{Summary: "Sorts like SORT, but stores nothing.",
			Since: "7.0.0", Group: "generic", Complexity: "O(N+M*log(M)), N being the number of elements, M of those that are sorted",
			Args: []Arg{
				keyArg("key", 0),
				{Name: "pattern", Type: "pattern", Token: "BY", KeySpec: 2, Optional: true},
				{Name: "offset_count", Type: "block", Token: "LIMIT", Optional: true, Args: []Arg{valueArg("offset", "integer"), valueArg("count", "integer")}},
				{Name: "pattern", Type: "pattern", Token: "GET", KeySpec: 2, Optional: true, Multiple: true, MultiToken: true},
				oneOfArg("order", tokenArg("asc", "ASC"), tokenArg("desc", "DESC")).optional(),
				tokenArg("sorting", "ALPHA").optional(),
			},
		},
	},
}
