//go:build crashpoints

package crash

import (
	"fmt"
	"os"
	"sync"
	"syscall"
)

var (
	mu     sync.Mutex
	passed = map[string]int{}
	all    = 0
	die    = os.Getenv("ZFS2CLOUD_CRASH_AT")  // NAME#K: the K-th time that the point is passed; #K: the K-th point of any name
	log    = os.Getenv("ZFS2CLOUD_CRASH_LOG") // a file that gets a line a point
)

// Watch, if not nil, is called at each point, for a test that goes through what a death there leaves without dying. It is
// set while nothing else runs.
var Watch func(name string)

// Point is a place where the process may die.
func Point(name string) {
	if Watch != nil {
		Watch(name)
	}
	mu.Lock()
	defer mu.Unlock()
	passed[name]++
	all++
	here := fmt.Sprintf("%s#%d", name, passed[name])
	if log != "" {
		f, err := os.OpenFile(log, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err == nil {
			fmt.Fprintln(f, here)
			f.Close()
		}
	}
	if here == die || fmt.Sprint("#", all) == die {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
