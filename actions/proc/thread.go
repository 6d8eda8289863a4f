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

// threads take orders to start children, who inherit their manners. A thread must live as long as we do: to the
// kernel, its end is the parent's death (prctl(2), PR_SET_PDEATHSIG).
var threads struct {
	sync.Mutex
	with map[Manners]chan<- order
}

func thread(m Manners) chan<- order {
	threads.Lock()
	defer threads.Unlock()
	if orders, ok := threads.with[m]; ok {
		return orders
	}
	orders := make(chan order)
	go func() {
		runtime.LockOSThread()
		rude := m.take()
		for o := range orders {
			s := started{err: rude}
			if rude == nil {
				s.process, s.err = os.StartProcess(o.path, o.argv, o.attr)
			}
			o.done <- s
		}
	}()
	if threads.with == nil {
		threads.with = map[Manners]chan<- order{}
	}
	threads.with[m] = orders
	return orders
}

// startProcess is os.StartProcess on such a thread.
func startProcess(path string, argv []string, attr *os.ProcAttr, m Manners) (*os.Process, error) {
	done := make(chan started, 1)
	thread(m) <- order{path, argv, attr, done}
	s := <-done
	return s.process, s.err
}
