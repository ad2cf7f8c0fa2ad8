//! Carry: bytes both ways between two streams that can only be used as a whole.

use std::{
    cell::Cell,
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::runtime::deadline::Deadlines;

/// Most bytes read at once.
const PIECE_BYTES: usize = 16 << 10;
/// Looks at the counters within the longest silence.
const LOOKS: u32 = 4;

/// One of the two ways. It holds memory only for bytes that the other side does not take at once.
#[derive(Default)]
struct OneWay {
    waiting: Vec<u8>,
    at: usize,
    progress: Progress,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Progress {
    #[default]
    Moving,
    /// The side that is read has ended, and the other one is told.
    Ending,
    Ended,
}

impl OneWay {
    /// Moves what can be moved; ready once the end of the one side has been passed on to the other.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut from: Pin<&mut impl AsyncRead>,
        mut to: Pin<&mut impl AsyncWrite>,
        moved: &Cell<u64>,
    ) -> Poll<io::Result<()>> {
        // A side that always has more does not keep the other way from its turn.
        for _ in 0..LOOKS {
            while self.at < self.waiting.len() {
                let count = ready!(to.as_mut().poll_write(cx, &self.waiting[self.at..]))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.at += count;
                moved.set(moved.get() + count as u64);
            }
            (self.waiting, self.at) = (Vec::new(), 0);
            match self.progress {
                Progress::Moving => {}
                Progress::Ending => {
                    ready!(to.as_mut().poll_shutdown(cx))?;
                    self.progress = Progress::Ended;
                    return Poll::Ready(Ok(()));
                }
                Progress::Ended => return Poll::Ready(Ok(())),
            }
            let mut piece = [const { MaybeUninit::uninit() }; PIECE_BYTES];
            let mut piece = ReadBuf::uninit(&mut piece);
            if from.as_mut().poll_read(cx, &mut piece)?.is_pending() {
                ready!(to.as_mut().poll_flush(cx))?;
                return Poll::Pending;
            }
            match piece.filled() {
                [] => self.progress = Progress::Ending,
                data => {
                    let taken = match to.as_mut().poll_write(cx, data)? {
                        Poll::Ready(count) => count,
                        Poll::Pending => 0,
                    };
                    moved.set(moved.get() + taken as u64);
                    self.waiting.extend_from_slice(&data[taken..]);
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Carries bytes both ways until both sides have ended, one breaks or both are silent for `idle`, or little longer.
/// Bytes from the first stream are added to the first counter as they go, and those to it to the second one.
///
/// # Errors
/// The reason why it did not end well.
pub async fn carry(
    deadlines: &Deadlines,
    idle: Duration,
    (near, far): (&mut (impl AsyncRead + AsyncWrite + Unpin), &mut (impl AsyncRead + AsyncWrite + Unpin)),
    (received, sent): (&Cell<u64>, &Cell<u64>),
) -> Result<(), &'static str> {
    let (mut up, mut down) = (OneWay::default(), OneWay::default());
    let mut both = pin!(poll_fn(|cx| {
        let up = up.poll(cx, Pin::new(&mut *near), Pin::new(&mut *far), received)?;
        let down = down.poll(cx, Pin::new(&mut *far), Pin::new(&mut *near), sent)?;
        match up.is_ready() && down.is_ready() {
            true => Poll::Ready(io::Result::Ok(())),
            false => Poll::Pending,
        }
    }));
    let mut silent = 0;
    while silent < LOOKS {
        let before = (received.get(), sent.get());
        if let Ok(result) = deadlines.within(idle / LOOKS, both.as_mut()).await {
            return result.map_err(|_| "tunnel_broken");
        }
        silent = if (received.get(), sent.get()) == before { silent + 1 } else { 0 };
    }
    Err("tunnel_idle")
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn each_way_ends_for_itself_and_all_bytes_are_counted() {
        let ((mut client, mut near), (mut far, mut backend)) = (duplex(64), duplex(64));
        let (received, sent) = (Cell::new(0), Cell::new(0));
        let deadlines = Deadlines::default();
        let carrying = carry(&deadlines, Duration::from_secs(60), (&mut near, &mut far), (&received, &sent));
        let talk = async {
            let mut read = Vec::new();
            client.write_all(b"question").await.unwrap();
            client.shutdown().await.unwrap();
            backend.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, b"question");
            // More than the streams hold at once.
            let answer = vec![b'a'; 100_000];
            let (wrote, ()) = tokio::join!(backend.write_all(&answer), async {
                let mut read = vec![0; answer.len()];
                client.read_exact(&mut read).await.unwrap();
                assert_eq!(read, answer);
            });
            wrote.unwrap();
            backend.shutdown().await.unwrap();
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        };
        assert_eq!(tokio::join!(carrying, talk).0, Ok(()));
        assert_eq!((received.get(), sent.get()), (8, 100_000));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_on_both_ways_ends_it_and_a_word_on_either_does_not() {
        let ((_client, mut near), (mut far, mut backend)) = (duplex(64), duplex(64));
        let (received, sent) = (Cell::new(0), Cell::new(0));
        let deadlines = Deadlines::default();
        let idle = Duration::from_secs(8);
        let carrying = carry(&deadlines, idle, (&mut near, &mut far), (&received, &sent));
        let words = async {
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_secs(5)).await;
                backend.write_all(b".").await.unwrap();
            }
            std::future::pending::<()>().await;
        };
        let start = tokio::time::Instant::now();
        tokio::select! {
            result = carrying => assert_eq!(result, Err("tunnel_idle")),
            () = words => {}
            () = deadlines.sweep(|| {}) => {}
        }
        assert_eq!(sent.get(), 5);
        assert!(start.elapsed() > Duration::from_secs(25) + idle);
    }
}
