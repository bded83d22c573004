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
	errHelloNoAuth  = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time"
	errHelloProto   = "NOPROTO unsupported protocol version"
	errHelloInteger = "ERR Protocol version is not an integer or out of range"
	errHelloSyntax  = "ERR Syntax error in HELLO option '%s'"
	errClientName   = "ERR Client names cannot contain spaces, newlines or special characters."
)
