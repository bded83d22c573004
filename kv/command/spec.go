package command

// A command is one row (Spec) and one handler. The rows stand beside their
// handlers (stringCommands in string.go, …); table.go assembles them.

// Flags are properties of a command, with Redis' names.
type Flags uint32

// The flags. Protected and NeverQueue are not reported by COMMAND INFO.
const (
	Write Flags = 1 << iota
	ReadOnly
	DenyOOM
	Admin
	PubSub
	NoScript
	Blocking
	Loading // may run while the data set is being loaded
	Stale
	SkipMonitor
	SkipSlowlog
	Asking
	Fast
	NoAuth // may run before AUTH
	MayReplicate
	NoMandatoryKeys
	NoAsyncLoading
	NoMulti // refused between MULTI and EXEC
	MovableKeys
	AllowBusy
	Protected  // needs enable-debug-command
	NeverQueue // runs at once between MULTI and EXEC (EXEC, WATCH, RESET …)
)

// Categories are ACL categories. Those that follow from the flags (@write,
// @fast, @admin …) are added when the table is assembled.
type Categories uint32

// The categories in the order in which COMMAND INFO lists them.
const (
	CatKeyspace Categories = 1 << iota
	CatRead
	CatWrite
	CatSet
	CatSortedSet
	CatList
	CatHash
	CatString
	CatBitmap
	CatHyperLogLog
	CatGeo
	CatStream
	CatPubSub
	CatAdmin
	CatFast
	CatSlow
	CatBlocking
	CatDangerous
	CatConnection
	CatTransaction
	CatScripting
)

// KeyFlags say what a command does with the keys of one KeySpec.
type KeyFlags uint16

// The key flags, in the order in which COMMAND INFO lists them.
const (
	KeyRO KeyFlags = 1 << iota
	KeyRW
	KeyOW
	KeyRM
	KeyAccess
	KeyUpdate
	KeyInsert
	KeyDelete
	KeyNotKey
	KeyIncomplete
	KeyVariableFlags
)

// KeySpec tells where keys stand among a command's arguments, as COMMAND INFO
// describes it since Redis 7. Two forms are in use: a range that begins at an
// index or after a keyword, and a range whose length an argument gives.
type KeySpec struct {
	Notes string
	Flags KeyFlags

	// The search begins at Index, or after Keyword (looked for from StartFrom
	// on, backwards if negative). Both zero: unknown.
	Index     int
	Keyword   string
	StartFrom int

	// KeyNum: argument KeyNumIndex (relative to the beginning) holds the
	// number of keys, the first of them stands at FirstKey. Otherwise a range
	// to LastKey (relative; negative from the end) by Step, Limit as in Redis.
	KeyNum                bool
	KeyNumIndex, FirstKey int
	LastKey, Step, Limit  int
}

// keyAt returns the spec of a single key at argument i.
func keyAt(i int, f KeyFlags) KeySpec { return KeySpec{Flags: f, Index: i, Step: 1} }

// keyRange returns the spec of keys from argument first on, to the one that
// lies last arguments behind it (negative: counted from the end), by step.
func keyRange(first, last, step int, f KeyFlags) KeySpec {
	return KeySpec{Flags: f, Index: first, LastKey: last, Step: step}
}

// Arg describes an argument for COMMAND DOCS; redis-cli shows hints from it.
type Arg struct {
	Name       string
	Type       string // "key", "string", "integer", "double", "pattern", "unix-time", "pure-token", "oneof", "block"
	Token      string
	Summary    string
	Since      string
	Deprecated string // the version since which it is deprecated
	KeySpec    int    // 1 + index of its KeySpec; 0 if it is no key
	Optional   bool
	Multiple   bool
	MultiToken bool
	Args       []Arg
}

// Doc is what COMMAND DOCS says beyond the other fields of a Spec.
type Doc struct {
	Summary    string
	Since      string
	Group      string
	Complexity string
	// Deprecated is the version since which the command is deprecated, Instead
	// the command that replaces it.
	Deprecated, Instead string
	History             [][2]string // version, what changed
	Args                []Arg
	SysCmd              bool // of no use to applications
}

// Spec is the row of a command: everything that is known of it.
type Spec struct {
	Name       string // lower case; subcommands are "client|list"
	Arity      int    // negative: at least that many; counts the name(s)
	Later      int    // how many more than Arity Redis takes since 7.2; COMMAND INFO does not tell
	Flags      Flags
	Categories Categories
	Tips       []string

	// The legacy key range: first, last (negative: from the end), step.
	First, Last, Step int
	KeySpecs          []KeySpec
	// Keys returns the keys among args for commands whose keys the legacy
	// range does not give. The elements alias args.
	Keys func(args [][]byte) [][]byte

	// FlagsOf returns what the command does with its keys where that depends on
	// the arguments (KeyVariableFlags).
	FlagsOf func(args [][]byte) KeyFlags

	Lock LockMode
	// LockOf returns the LockMode where that depends on the arguments.
	LockOf  func(args [][]byte) LockMode
	Handler func(x *Ctx)
	// Before runs with no locks held, before the locks for the command (or
	// for its whole MULTI block) are taken; After runs when they are released.
	// Both see the command's arguments in x.Args.
	Before, After func(x *Ctx)

	Sub []*Spec
	Doc Doc

	id      int   // index into the counters
	oneKey  bool  // a single key at argument 1 and LockKeys
	quick   bool  // oneKey, and so short that it is not timed alone, see endSeries
	exec    bool  // it is EXEC
	marks   bool  // its keys are ready for blocked clients when it has run
	saved   bool  // refused while saves fail: writes and PING
	guarded bool  // saved, or needs enable-…-command
	parent  *Spec // of a subcommand
}

// appendKeys appends the keys among args to dst. Arguments that do not form
// a valid call give the keys that can be found.
func (s *Spec) appendKeys(dst [][]byte, args [][]byte) [][]byte {
	if s.Keys != nil {
		return append(dst, s.Keys(args)...)
	}
	if s.First == 0 || s.First >= len(args) {
		return dst
	}
	last := s.Last
	if last < 0 {
		last += len(args)
	}
	last = min(last, len(args)-1)
	for i := s.First; i <= last; i += s.Step {
		dst = append(dst, args[i])
	}
	return dst
}

// lockMode returns which locks the command needs with these arguments.
func (s *Spec) lockMode(args [][]byte) LockMode {
	if s.LockOf != nil {
		return s.LockOf(args)
	}
	return s.Lock
}

// arityOK tells whether n arguments (names included) fit the command.
func (s *Spec) arityOK(n int) bool {
	if s.Arity < 0 {
		return n >= -s.Arity
	}
	return n >= s.Arity && n <= s.Arity+s.Later
}

// allCategories returns the explicit categories and those that the flags imply.
func (s *Spec) allCategories() Categories {
	c := s.Categories
	if s.Flags&Write != 0 {
		c |= CatWrite
	}
	if s.Flags&ReadOnly != 0 && c&CatScripting == 0 {
		c |= CatRead
	}
	if s.Flags&Admin != 0 {
		c |= CatAdmin | CatDangerous
	}
	if s.Flags&PubSub != 0 {
		c |= CatPubSub
	}
	if s.Flags&Blocking != 0 {
		c |= CatBlocking
	}
	if s.Flags&Fast != 0 {
		return c | CatFast
	}
	return c | CatSlow
}
