//! What serves and asks on the streams of a connection: tasks with plans, on a runtime that polls only who was woken.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use selvedge_common::{
    http2::{Broken, Handle, Reason},
    message::Known,
};

use super::{seen::byte, sent::Sent};

/// Interim answers that are passed on at most.
const MOST_INTERIM: usize = 15;
/// More polls than any input needs.
const MOST_POLLS: usize = 200_000;

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Tasks, of which those are polled that were woken.
#[derive(Default)]
pub struct Tasks {
    list: Vec<(Task, Arc<Flag>)>,
    new: Rc<RefCell<Vec<Task>>>,
    polls: usize,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Tasks {
    /// Where new tasks go.
    pub fn spawner(&self) -> Rc<RefCell<Vec<Task>>> {
        self.new.clone()
    }

    /// Polls until nobody was woken.
    pub fn run(&mut self) {
        loop {
            let new = self.new.take();
            self.list.extend(new.into_iter().map(|task| (task, Arc::new(Flag(AtomicBool::new(true))))));
            let mut is_idle = true;
            self.list.retain_mut(|(task, flag)| {
                if !flag.0.swap(false, Ordering::Relaxed) {
                    return true;
                }
                is_idle = false;
                self.polls += 1;
                let waker = Waker::from(flag.clone());
                task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
            });
            assert!(self.polls < MOST_POLLS, "it does not come to rest");
            if is_idle && self.new.borrow().is_empty() {
                return;
            }
        }
    }

    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.list.is_empty() && self.new.borrow().is_empty()
    }
}

/// Leave to go on, for those who take their time.
#[derive(Default)]
pub struct Permits {
    left: Cell<usize>,
    wakers: RefCell<Vec<Waker>>,
}

impl Permits {
    /// Lets so many go on.
    pub fn give(&self, count: usize) {
        self.left.set(self.left.get().saturating_add(count));
        self.wakers.take().into_iter().for_each(Waker::wake);
    }

    async fn take(&self) {
        poll_fn(|cx| match self.left.get().checked_sub(1) {
            Some(left) => {
                self.left.set(left);
                Poll::Ready(())
            }
            None => {
                self.wakers.borrow_mut().push(cx.waker().clone());
                Poll::Pending
            }
        })
        .await;
    }
}

/// What has become of a stream by the word of its handle.
#[derive(Default)]
pub struct Log {
    got: RefCell<Vec<u8>>,
    saw_end: Cell<bool>,
    is_reading: Cell<bool>,
    is_writing: Cell<bool>,
}

impl Log {
    /// What was read is what was sent, from its begin and to its end if that was seen.
    pub fn check(&self, id: u32, sent: &Sent) {
        let got = self.got.borrow();
        let (data, is_ended) =
            sent.streams.get(&id).map_or((&[][..], false), |stream| (&stream.data[..], stream.is_ended));
        assert!(data.starts_with(&got), "stream {id} reads what was not sent");
        assert!(!self.saw_end.get() || is_ended && got.len() == data.len(), "stream {id} ends early");
    }

    /// Bytes that came and were not read, while anybody still may.
    pub fn held(self: &Rc<Self>, id: u32, sent: &Sent) -> u64 {
        let came = sent.streams.get(&id).map_or(0, |stream| stream.data.len());
        if Rc::strong_count(self) == 1 { 0 } else { (came - self.got.borrow().len()) as u64 }
    }

    /// Whoever still waits has a reason to, if all that was sent was taken and there is so much room.
    pub fn check_waiting(&self, id: u32, sent: &Sent, (own, all): (i64, i64)) {
        if let Some(stream) = sent.streams.get(&id).filter(|_| self.is_reading.get()) {
            let is_all = stream.data.len() == self.got.borrow().len();
            assert!(is_all && !stream.is_ended && !stream.is_reset, "stream {id} has something to read");
        }
        assert!(!self.is_writing.get() || own <= 0 || all <= 0, "stream {id} has room for {own} of {all}");
    }
}

/// The logs of all streams that ever were.
pub type Logs = Rc<RefCell<HashMap<u32, Rc<Log>>>>;

/// Sizes of bodies that are sent.
const SIZES: [usize; 8] = [0, 1, 100, 5000, 16_384, 20_000, 66_000, 150_000];

/// One end of a stream.
pub struct Side {
    pub handle: Handle,
    pub log: Rc<Log>,
    pub permits: Rc<Permits>,
    pub plan: u8,
}

impl Side {
    fn size(&self) -> usize {
        SIZES[usize::from(self.plan >> 3) % SIZES.len()]
    }

    async fn pause(&self) {
        if self.plan & 0x40 != 0 {
            self.permits.take().await;
        }
    }

    /// Reads a piece; false at the end.
    async fn read(&self) -> Result<bool, Broken> {
        self.pause().await;
        self.log.is_reading.set(true);
        let read = poll_fn(|cx| self.handle.poll_data(cx)).await;
        self.log.is_reading.set(false);
        match read.transpose()? {
            Some(data) => self.log.got.borrow_mut().extend_from_slice(&data),
            None => self.log.saw_end.set(true),
        }
        Ok(!self.log.saw_end.get())
    }

    async fn read_all(&self) -> Result<(), Broken> {
        while self.read().await? {}
        let _ = self.handle.take_trailers();
        assert!(self.handle.is_end());
        Ok(())
    }

    /// Sends so many bytes of a body.
    async fn write(&self, bytes: usize) -> Result<(), Broken> {
        let mut at = 0;
        while at < bytes {
            self.pause().await;
            self.log.is_writing.set(true);
            let room = poll_fn(|cx| self.handle.poll_room(cx, bytes - at)).await;
            self.log.is_writing.set(false);
            let room = room?;
            assert!(room > 0 && room <= bytes - at);
            let data: Vec<u8> = (at..at + room).map(|at| byte(self.handle.id(), at)).collect();
            self.handle.send_data(data.into(), false)?;
            at += room;
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), Broken> {
        match self.plan & 0x80 {
            0 => self.handle.send_data(Default::default(), true),
            _ => self.handle.send_head(true, |head| head.field(Known::Other, b"x-end", b"1")),
        }
    }

    fn head(&self, is_last: bool) -> Result<(), Broken> {
        self.handle.send_head(is_last, |head| {
            head.status(200);
            let long = "v".repeat(self.size() / 4);
            head.field(Known::Other, b"x-long", long.as_bytes());
            head.field(Known::Other, b"x-plan", &[b'a' + self.plan % 8]);
        })
    }

    /// Serves a request.
    pub async fn serve(self) -> Result<(), Broken> {
        match self.plan % 8 {
            0 => {
                self.read_all().await?;
                self.head(true)
            }
            1 => {
                self.head(false)?;
                self.read_all().await?;
                self.write(self.size()).await?;
                self.finish()
            }
            2 => Ok(()),
            3 => {
                self.read().await?;
                self.head(false)
            }
            4 => self.head(true),
            5 => {
                self.read().await?;
                self.handle.reset(Reason::INTERNAL_ERROR);
                Ok(())
            }
            6 => {
                self.head(false)?;
                self.write(self.size() / 2).await
            }
            _ => {
                self.head(false)?;
                self.write(self.size()).await?;
                self.finish()?;
                self.read_all().await
            }
        }
    }

    /// Waits for an answer to a request whose head was sent, maybe as all of it.
    pub async fn ask(self, is_whole: bool) -> Result<(), Broken> {
        if !is_whole {
            self.write(self.size()).await?;
            if self.plan % 8 == 3 {
                return Ok(());
            }
            self.finish()?;
        }
        self.pause().await;
        self.log.is_reading.set(true);
        let mut interim = 0;
        let answer = loop {
            match poll_fn(|cx| self.handle.poll_answer(cx)).await {
                Ok(head) if head.status < 200 => {
                    assert!((102..200).contains(&head.status));
                    interim += 1;
                    assert!(interim <= MOST_INTERIM);
                }
                answer => break answer,
            }
        };
        self.log.is_reading.set(false);
        assert!((200..1000).contains(&answer?.status));
        match self.plan % 8 {
            2 => Ok(()),
            4 => self.read().await.map(|_| ()),
            _ => self.read_all().await,
        }
    }
}
