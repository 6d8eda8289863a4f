package proc

import (
	"os"
	"runtime"
	"sync"
)

type order struct {
	path string
	argv []string
	attr *os.ProcAttr
	done chan<- started
}

type started struct {
	process *os.Process
	err     error
}

// forks takes orders to the thread that starts all children. The thread must live as long as we do: to the
// kernel, its end is the parent's death (prctl(2), PR_SET_PDEATHSIG).
var forks = sync.OnceValue(func() chan<- order {
	orders := make(chan order)
	go func() {
		runtime.LockOSThread()
		for o := range orders {
			p, err := os.StartProcess(o.path, o.argv, o.attr)
			o.done <- started{p, err}
		}
	}()
	return orders
})

// startProcess is os.StartProcess on that thread.
func startProcess(path string, argv []string, attr *os.ProcAttr) (*os.Process, error) {
	done := make(chan started, 1)
	forks() <- order{path, argv, attr, done}
	s := <-done
	return s.process, s.err
}
