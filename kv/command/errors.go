package command

// Every error text that a client can see stands here, in Redis' words, its
// code in front. Texts with verbs are completed by Ctx.Errf.
const (
	errSyntax         = "ERR syntax error"
	errNotInteger     = "ERR value is not an integer or out of range"
	errNotFloat       = "ERR value is not a valid float"
	errOutOfRange     = "ERR value is out of range"
	errMustBePositive = "ERR value is out of range, must be positive"
	errWrongType      = "WRONGTYPE Operation against a key holding the wrong kind of value"
	errNoSuchKey      = "ERR no such key"
	errNoMemory       = "OOM command not allowed when used memory > 'maxmemory'."
	errStringTooLong  = "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
	errIntRange       = "ERR value is out of range, value must between %d and %d"
	errDBRange        = "ERR DB index is out of range"
	errSameObject     = "ERR source and destination objects are the same"
	errInvalidExpire  = "ERR invalid expire time in '%s' command"

	// The dispatcher's.
	errUnknownCommand    = "ERR unknown command '%s', with args beginning with: %s"
	errUnknownSubcommand = "ERR unknown subcommand '%s'. Try %s HELP."
	errArity             = "ERR wrong number of arguments for '%s' command"
	errSubArgs           = "ERR unknown subcommand or wrong number of arguments for '%s'. Try %s HELP."
	errNoAuth            = "NOAUTH Authentication required."
	errLoading           = "LOADING Redis is loading the dataset in memory"
	errMisconf           = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. " +
		"Commands that may modify the data set are disabled, because this instance is configured to report errors during writes " +
		"if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error."
	errMisconfReason = " Reason: %s"
	errProtected     = "ERR %s command not allowed. If the %s option is set to \"local\", " +
		"you can run it from a local connection, otherwise you need to set this option " +
		"in the configuration file, and then restart the server."

	// Strings and keys.
	errIncrOverflow = "ERR increment or decrement would overflow"
	errDecrOverflow = "ERR decrement would overflow"
	errOffset       = "ERR offset is out of range"
	errLCSTypes     = "ERR The specified keys must contain string values"
	errLCSBoth      = "ERR If you want both the length and indexes, please just use IDX."
	errLCSMemory    = "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"
	errExpireOption = "ERR Unsupported option %s"
	errExpireNX     = "ERR NX and XX, GT or LT options at the same time are not compatible"
	errExpireGTLT   = "ERR GT and LT options at the same time are not compatible"
	errCursor       = "ERR invalid cursor"
	errNoLFU        = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. " +
		"Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust."
	errBusyKey     = "BUSYKEY Target key name already exists."
	errRestoreTTL  = "ERR Invalid TTL value, must be >= 0"
	errRestoreIdle = "ERR Invalid IDLETIME value, must be >= 0"
	errRestoreFreq = "ERR Invalid FREQ value, must be >= 0 and <= 255"
	errDumpFooter  = "ERR DUMP payload version or checksum are wrong"
	errDumpFormat  = "ERR Bad data format"
	errDumpType    = "ERR Bad data format: values of type '%s' are not supported"

	// Transactions.
	errNoMultiCommand    = "ERR Command not allowed inside a transaction"
	errExecAbort         = "EXECABORT Transaction discarded because of previous errors."
	errExecAbortBecause  = "EXECABORT Transaction discarded because of: %s"
	errNestedMulti       = "ERR MULTI calls can not be nested"
	errExecWithoutMulti  = "ERR EXEC without MULTI"
	errDiscardNoMulti    = "ERR DISCARD without MULTI"
	errWatchInsideMulti  = "ERR WATCH inside MULTI is not allowed"
	errNotInTransactions = "ERR %s is not allowed inside a transaction"

	// Connections.
	errWrongPass      = "WRONGPASS invalid username-password pair or user is disabled."
	errAuthNoPassword = "ERR AUTH <password> called without any password configured for the default user. " +
		"Are you sure your configuration is correct?"
	errHelloNoAuth   = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time"
	errHelloProto    = "NOPROTO unsupported protocol version"
	errHelloInteger  = "ERR Protocol version is not an integer or out of range"
	errHelloSyntax   = "ERR Syntax error in HELLO option '%s'"
	errClientName    = "ERR Client names cannot contain spaces, newlines or special characters."
	errSetInfoOption = "ERR Unrecognized option '%s'"
	errSetInfoValue  = "ERR %s cannot contain spaces, newlines or special characters."

	errPauseMode       = "ERR CLIENT PAUSE mode must be WRITE or ALL"
	errTimeoutInteger  = "ERR timeout is not an integer or out of range"
	errTimeoutNegative = "ERR timeout is negative"
	errUnblockReason   = "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"
	errCachingMode     = "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled"
	errNoTracking      = "ERR Client tracking is not supported"
	errClientID        = "ERR Invalid client ID"
	errClientType      = "ERR Unknown client type '%s'"
	errKillID          = "ERR client-id should be greater than 0"
	errNoSuchUser      = "ERR No such user '%s'"
	errNoSuchClient    = "ERR No such client"

	// COMMAND.
	errGetKeysCommand   = "ERR Invalid command specified"
	errGetKeysNone      = "ERR The command has no key arguments"
	errGetKeysArity     = "ERR Invalid number of arguments specified for command"
	errGetKeysArguments = "ERR Invalid arguments specified for command"

	// CONFIG, server and DEBUG.
	errSwapFirst        = "ERR invalid first DB index"
	errSwapSecond       = "ERR invalid second DB index"
	errSaving           = "ERR Background save already in progress"
	errNoSave           = "ERR Background saving is currently not in progress or scheduled"
	errNoSnapshots      = "ERR snapshots are not available here"
	errSnapshotName     = "ERR the name of a snapshot cannot be empty"
	errNoSamples        = "ERR No samples available for event '%s'"
	errShutdown         = "ERR Errors trying to SHUTDOWN. Check logs."
	errNoShutdown       = "ERR No shutdown in progress."
	errFunctionFlush    = "ERR FUNCTION FLUSH only supports SYNC|ASYNC option"
	errFunctionArgument = "ERR Unknown argument %s"
	errLibraryName      = "ERR library name argument was not given"
	errNoLibrary        = "ERR Library not found"
	errNotBusy          = "NOTBUSY No scripts in execution right now."
	errReloadOption     = "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options."
	errReload           = "ERR Error trying to load the RDB dump, check server logs."
)
