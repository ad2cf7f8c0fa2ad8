//! Window: what the peer may send, and when it is told that it may send more (RFC 9113 §5.2).

/// A window towards us, of a stream or of a connection.
#[derive(Debug)]
pub(super) struct Window {
    /// Bytes that the peer may send at best.
    size: u32,
    /// Bytes that it may send now.
    left: u32,
    /// Bytes that were taken since it was told so.
    taken: u32,
}

impl Window {
    /// A window of which the peer believes that it has so many bytes.
    pub fn new(size: u32, left: u32) -> Self {
        Self { size, left, taken: 0 }
    }

    /// Bytes arrive; false if they are more than allowed.
    pub fn arrive(&mut self, bytes: u32) -> bool {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    /// Bytes have been taken; by how much the peer is to be told that the window is larger, if it is worth a frame.
    pub fn take(&mut self, bytes: u32) -> Option<u32> {
        self.taken += bytes;
        if self.taken == 0 || self.taken < self.size / 2 {
            return None;
        }
        let update = std::mem::take(&mut self.taken);
        self.left += update;
        Some(update)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_comes_back_when_it_is_half_of_all() {
        let mut window = Window::new(100, 100);
        assert!(window.arrive(100) && !window.arrive(1));
        assert_eq!((window.take(49), window.arrive(1)), (None, false));
        assert_eq!(window.take(1), Some(50));
        assert!(window.arrive(50) && !window.arrive(1));
    }

    #[test]
    fn a_window_of_a_byte_opens_byte_by_byte() {
        let mut window = Window::new(1, 1);
        assert_eq!(window.take(0), None);
        assert!(window.arrive(1));
        assert_eq!(window.take(1), Some(1));
    }
}
