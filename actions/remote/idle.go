package remote

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"zfs2cloud/actions/proc"
	"zfs2cloud/workflow"
)

// slowDisk is how fast we take the disk of a server to be that computes an object's hash (SFTP) while our rclone
// waits: bytes a second.
const slowDisk = 8 << 20

// IdleFor is how long an rclone may be idle that works with objects of up to that size; 0 stays for ever. rclone itself
// gives a connection up after five minutes (--timeout) and tries again: a limit is better longer than that.
func IdleFor(limit time.Duration, object int64) time.Duration {
	if limit == 0 {
		return 0
	}
	return limit + time.Duration(object/slowDisk)*time.Second
}

// noise is what an rclone moves that does nothing: wake-ups of its own threads, and what it has said that we did not
// read yet, up to the 64 KiB that the pipe holds (pipe(7)).
const noise = 256 << 10

// looksEach is how often we look within the time that an rclone may be idle.
const looksEach = 20

// Idle is the error of an rclone that was ended because it moved nothing.
type Idle struct{ For time.Duration }

func (e *Idle) Error() string {
	return fmt.Sprintf("rclone moved nothing for %s, and was ended with all it had started", e.For)
}

// watch ends a child by END when it has been idle for too long. That is told by two figures together: by what rclone
// says that it has transferred, and by what its process group has read and written less its own statistics. Either
// alone would end some that work: an rclone that computes the hash of a local file transfers nothing, and one in a
// container is in no group of ours. Where neither can be known, nobody is ended.
func (l *logReader) watch(over context.Context, child workflow.Child, limit time.Duration, end func(error)) {
	tick := time.NewTicker(limit / looksEach)
	defer tick.Stop()
	var mark sign
	for still := 0; still < looksEach; still++ {
		select {
		case <-over.Done():
			return
		case <-tick.C:
		}
		if now, err := l.sign(child); err != nil || now.moved(mark) {
			mark, still = now, -1
		}
	}
	end(&Idle{For: limit})
}

// sign is what shows that an rclone does something.
type sign struct{ transferred, bytes int64 }

// moved tells whether something has happened since. Bytes fall when a process of the group ends.
func (s sign) moved(since sign) bool {
	return s.transferred != since.transferred || s.bytes <= since.bytes-noise || s.bytes >= since.bytes+noise
}

func (l *logReader) sign(child workflow.Child) (sign, error) {
	bytes, err := proc.Moved(child.ID().PID)
	return sign{transferred: l.transferred.Load(), bytes: bytes - l.read.Load()}, err
}

// counters are what the watch asks of a log that another goroutine reads.
type counters struct {
	read        atomic.Int64 // bytes of the log
	transferred atomic.Int64 // as the last statistics said
}
