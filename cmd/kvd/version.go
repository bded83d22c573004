package main

import (
	"fmt"
	"hash/crc64"
	"runtime/debug"
	"strconv"
)

// Version is kvd's own version. The version of the protocol and commands that it follows is Redis 7.0's.
const Version = "0.1.0"

// versionLine has the form of redis-server --version, since scripts cut v=X.Y.Z out of it. sha is the commit that the
// binary was built from and whether the tree had changes, build tells binaries apart.
func versionLine() string {
	sha, dirty, build := "00000000", "0", uint64(0)
	if info, ok := debug.ReadBuildInfo(); ok {
		build = crc64.Checksum([]byte(info.String()), crc64.MakeTable(crc64.ECMA))
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && len(s.Value) >= 8:
				sha = s.Value[:8]
			case s.Key == "vcs.modified" && s.Value == "true":
				dirty = "1"
			}
		}
	}
	return fmt.Sprintf("kvd server v=%s sha=%s:%s malloc=arena bits=%d build=%x", Version, sha, dirty, strconv.IntSize, build)
}

const usage = `Usage: kvd [/path/to/redis.conf] [options] [-]
       kvd - (read the configuration from standard input)
       kvd --check-rdb FILE (what is in a dump, and whether it is sound)
       kvd --repair-rdb IN OUT [--force] [--drop-unsupported] (write what can be read of a damaged dump as a new one)
       kvd -v or --version
       kvd -h or --help

Every directive of redis.conf is an option: --directive value. Options win over the file.

Examples:
       kvd (run the server with the defaults, on port 6379)
       kvd /etc/kvd/redis.conf
       kvd --port 7777
       kvd --port 7777 --save "900 1" --bgsave-default-method thread
       kvd /etc/kvd/redis.conf --loglevel verbose
       echo 'port 7777' | kvd -
`

// infoOption answers the options that print something and end, which redis-server only knows in first place.
func infoOption(argv []string) (text string, ok bool) {
	if len(argv) == 0 {
		return "", false
	}
	switch argv[0] {
	case "-v", "--version":
		return versionLine() + "\n", true
	case "-h", "--help":
		return usage, true
	}
	return "", false
}
