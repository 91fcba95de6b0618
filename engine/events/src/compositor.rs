//! The event state compositor (RFC 3903 §6): PUBLISH → entity-tag, in order and atomic per presentity.

use machine::{Instant, Key, Now, Partition, Wall};
use sip::{Message, Name};
use std::time::Duration;

use crate::answer::Rejection;
use crate::fingerprint::{LastChange, Maker};
use crate::happened::Happened;
use crate::package::Checked;
use crate::publisher::Operation;
use crate::resource::Publication;
use crate::state::{APPENDS_MAX, Context, Done, EventState, RETRANSMISSIONS_LAST, Timer};
use crate::stored::Encoder;
use crate::subscription::seconds_left;
use crate::written::Kind;

/// What the 200 says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// SIP-ETag.
    pub entity_tag: String,
    /// Expires.
    pub expires: u32,
    /// Whose clock starts when the 200 leaves.
    pub key: Option<Key>,
}

/// What a PUBLISH carries.
struct Document<'a> {
    content_type: &'static str,
    body: &'a [u8],
    checked: Option<Checked>,
}

/// An entity-tag as written: partition and a number never used before, so that it finds its shard and is never repeated.
pub fn entity_tag(partition: Partition, number: u64) -> String {
    let [a, b, c] = partition.digits();
    format!("{}{}{}{number:x}", a as char, b as char, c as char)
}

fn read_entity_tag(text: &str, partition: Partition) -> Option<u64> {
    let number = u64::from_str_radix(text.get(3..)?, 16).ok()?;
    // Only the one spelling that we gave out is that tag.
    (entity_tag(partition, number) == text).then_some(number)
}

impl EventState {
    /// Handles a PUBLISH whose sender may publish for the presentity.
    pub fn handle_publish(
        &mut self,
        context: Context<'_>,
        request: &Message<'_>,
        change: LastChange,
    ) -> Result<Published, Rejection> {
        let now = context.now;
        if let Some(published) = self.published_before(context, change) {
            return Ok(published);
        }
        // RFC 3903 §6 step 2.
        let package = self.published_package(request)?;
        // RFC 3903 §6 step 3: more than one tag is 400, which the header's reader sees.
        let if_match = request.sip_if_match()?;
        let existing = match if_match {
            Some(tag) => Some(self.find_publication(package, context.presentity, tag)?),
            None => None,
        };
        // RFC 3903 §6 step 4.
        let expires = granted(request, context)?;
        // RFC 3903 §6 step 5: only what has a body is looked at.
        let body = request.body();
        let (content_type, checked) = match body.is_empty() {
            true => ("", None),
            false => self
                .check_body(package, context, request)
                .map(|(known, checked)| (known, Some(checked)))?,
        };
        let document = Document {
            content_type,
            body,
            checked,
        };
        match existing {
            Some((slot, index)) if expires == 0 => {
                Ok(self.remove_publication(now, slot, index, change))
            }
            Some((slot, index)) if body.is_empty() => {
                Ok(self.refresh_publication(now, slot, index, expires, change))
            }
            Some((slot, index)) => {
                self.room_for(slot, Some(index), body.len(), context)?;
                Ok(self.modify_publication(now, slot, index, expires, document, change))
            }
            // RFC 3903 §6 step 5: an initial PUBLISH without a body has nothing to say.
            None if body.is_empty() => Err(Rejection::new(400, "Initial PUBLISH without a body")),
            None if expires == 0 => {
                let number = self.next_number();
                let partition = self.partitioner.partition(context.presentity);
                Ok(Published {
                    entity_tag: entity_tag(partition, number),
                    expires: 0,
                    key: None,
                })
            }
            None => {
                if let Some(why) = context.full {
                    return Err(Rejection::unavailable(why, 30));
                }
                let slot = self.resource(package, context.presentity, context.presence);
                if let Err(rejection) = self.room_for(slot, None, body.len(), context) {
                    self.release_resource(slot);
                    return Err(rejection);
                }
                Ok(self.add_publication(context, slot, expires, document, change))
            }
        }
    }

    /// The same request again, after a crash: the same answer, but for what is left of it, and nothing is published twice.
    fn published_before(&self, context: Context<'_>, change: LastChange) -> Option<Published> {
        let Done::Published {
            entity_tag: tag,
            partition,
        } = self.already_done(change)?
        else {
            return None;
        };
        let publication = self
            .by_name
            .iter()
            .filter_map(|slots| slots.get(context.presentity))
            .flat_map(|slot| &self.resources[*slot as usize].publications)
            .find(|publication| publication.entity_tag == *tag);
        Some(Published {
            entity_tag: entity_tag(*partition, *tag),
            expires: publication.map_or(0, |publication| {
                seconds_left(
                    context.now.monotonic,
                    publication.expires_at,
                    publication.granted,
                )
            }),
            key: None,
        })
    }

    fn find_publication(
        &self,
        package: u8,
        presentity: &str,
        tag: &str,
    ) -> Result<(u32, usize), Rejection> {
        // RFC 3903 §6 step 3: an unknown or lapsed tag never creates a publication.
        let unknown = || Rejection::new(412, "");
        let partition = self.partitioner.partition(presentity);
        let number = read_entity_tag(tag, partition).ok_or_else(unknown)?;
        let slot = *self.by_name[usize::from(package)]
            .get(presentity)
            .ok_or_else(unknown)?;
        let index = self.resources[slot as usize]
            .publications
            .iter()
            .position(|publication| publication.entity_tag == number)
            .ok_or_else(unknown)?;
        Ok((slot, index))
    }

    /// Which of the package's types a body that passes is: what else its Content-Type says is not kept.
    fn check_body(
        &self,
        package: u8,
        context: Context<'_>,
        request: &Message<'_>,
    ) -> Result<(&'static str, Checked), Rejection> {
        let package = self.packages[usize::from(package)];
        let unsupported =
            || Rejection::new(415, "").with(Name::Accept, package.publish_types.join(", "));
        if request.body().len() > context.limits.body_bytes_max as usize {
            return Err(Rejection::new(413, ""));
        }
        let content_type = request.content_type()?.ok_or_else(unsupported)?;
        let known = package
            .publish_types
            .iter()
            .find(|known| content_type.matches(known))
            .ok_or_else(unsupported)?;
        // RFC 3261 §8.2.3: a content coding that isn't understood is 415 as well.
        let coding = request.header(Name::ContentEncoding).unwrap_or(b"identity");
        if !coding.eq_ignore_ascii_case(b"identity") {
            return Err(unsupported().with(Name::AcceptEncoding, "identity"));
        }
        let checked = (package.check)(known, request.body(), context.limits);
        let checked = checked.map_err(|refusal| match refusal.status {
            415 => unsupported(),
            status => Rejection::new(status, refusal.reason),
        })?;
        Ok((known, checked))
    }

    /// Bounds of one user: how many sources, how large together.
    fn room_for(
        &self,
        slot: u32,
        replaced: Option<usize>,
        bytes: usize,
        context: Context<'_>,
    ) -> Result<(), Rejection> {
        let publications = &self.resources[slot as usize].publications;
        if replaced.is_none()
            && publications.len() >= context.limits.publications_per_user_max as usize
        {
            return Err(Rejection::new(403, "Too many publications of this user"));
        }
        let others = publications
            .iter()
            .enumerate()
            .filter(|(index, _)| Some(*index) != replaced);
        let total = bytes
            + others
                .map(|(_, publication)| publication.body.len())
                .sum::<usize>();
        if total > context.limits.view_bytes_max as usize {
            return Err(Rejection::new(
                413,
                "The publications of this user are too large together",
            ));
        }
        Ok(())
    }

    fn add_publication(
        &mut self,
        context: Context<'_>,
        slot: u32,
        expires: u32,
        document: Document<'_>,
        change: LastChange,
    ) -> Published {
        let now = context.now;
        let partition = self.partitioner.partition(context.presentity);
        let number = self.next_number();
        let key = Key::new(partition, self.next_number());
        let resource = &mut self.resources[slot as usize];
        resource.publications.push(Publication {
            key,
            entity_tag: number,
            content_type: document.content_type.into(),
            body: document.body.into(),
            accepted: now.wall,
            order: number,
            granted: expires,
            expires_at: Instant::ZERO,
            deadline: Wall::default(),
            timer: None,
            change,
            maker: Maker::of(change.fingerprint, now.monotonic),
            maker_tag: number,
            appends: 0,
        });
        self.publications += 1;
        let index = self.resources[slot as usize].publications.len() - 1;
        self.grant(now, slot, index, expires);
        self.put_publication(slot, index);
        if context.presence.unknown_presentity_is_404 && !self.resources[slot as usize].published {
            self.resources[slot as usize].published = true;
            self.put_resource(slot, false);
        }
        let published = self.published(slot, index, Operation::Initial);
        self.changed(slot, document.checked);
        published
    }

    fn modify_publication(
        &mut self,
        now: Now,
        slot: u32,
        index: usize,
        expires: u32,
        document: Document<'_>,
        change: LastChange,
    ) -> Published {
        let number = self.next_number();
        let publications = &mut self.resources[slot as usize].publications;
        // The newest acceptance comes last: composition reads them in that order.
        let mut publication = publications.remove(index);
        publication.entity_tag = number;
        publication.content_type = document.content_type.into();
        publication.body = document.body.into();
        publication.accepted = now.wall;
        publication.order = number;
        publication.change = change;
        publication.appends = 0;
        publications.push(publication);
        let index = publications.len() - 1;
        self.grant(now, slot, index, expires);
        self.rewrite_publication(now, slot, index);
        let published = self.published(slot, index, Operation::Modify);
        self.changed(slot, document.checked);
        published
    }

    /// RFC 3903 §6: a refresh extends, gives a new tag, changes nothing that a watcher could see.
    fn refresh_publication(
        &mut self,
        now: Now,
        slot: u32,
        index: usize,
        expires: u32,
        change: LastChange,
    ) -> Published {
        let number = self.next_number();
        let publication = &mut self.resources[slot as usize].publications[index];
        publication.entity_tag = number;
        publication.change = change;
        publication.appends += 1;
        self.grant(now, slot, index, expires);
        let publication = &self.resources[slot as usize].publications[index];
        if publication.appends >= APPENDS_MAX {
            self.resources[slot as usize].publications[index].appends = 0;
            self.rewrite_publication(now, slot, index);
        } else {
            let record = Encoder::new(b'r')
                .u64(publication.entity_tag)
                .u32(publication.granted)
                .wall(publication.deadline)
                .change(change)
                .end();
            self.append(publication.key, &record);
        }
        self.published(slot, index, Operation::Refresh)
    }

    fn remove_publication(
        &mut self,
        now: Now,
        slot: u32,
        index: usize,
        change: LastChange,
    ) -> Published {
        let number = self.next_number();
        let publication = self.resources[slot as usize].publications.remove(index);
        self.cancel_timer(publication.timer);
        self.publications -= 1;
        let partition = publication.key.partition();
        let name = self.resources[slot as usize].name.clone();
        self.happens(Happened::PublicationEnded {
            presentity: name,
            why: "removed",
        });
        // Remembered a little while: the same request again, after a crash, gets the same answer.
        self.append(
            publication.key,
            &Encoder::new(b'g').u64(number).change(change).end(),
        );
        self.timers.set(
            now.monotonic + RETRANSMISSIONS_LAST,
            Timer::Forget(publication.key),
        );
        self.changed(slot, None);
        self.release_resource(slot);
        // RFC 3903 §6 step 6: a removal's 200 still has an entity-tag, and Expires 0.
        Published {
            entity_tag: entity_tag(partition, number),
            expires: 0,
            key: None,
        }
    }

    pub(crate) fn publication_expires(&mut self, now: Now, slot: u32, key: Key) {
        let Some(resource) = self.resources.get_mut(slot as usize) else {
            return;
        };
        let Some(index) = resource
            .publications
            .iter()
            .position(|publication| publication.key == key)
        else {
            return;
        };
        let name = resource.name.clone();
        let publication = resource.publications.remove(index);
        self.publications -= 1;
        self.happens(Happened::PublicationEnded {
            presentity: name,
            why: "expired",
        });
        let granted = Duration::from_secs(u64::from(publication.granted));
        if self.may_come_again(now, publication.change, publication.expires_at - granted) {
            // The wall clock was set forward: remembered like a removal, or a copy of the request would publish once more.
            self.append(
                key,
                &Encoder::new(b'g')
                    .u64(publication.entity_tag)
                    .change(publication.change)
                    .end(),
            );
            self.timers
                .set(now.monotonic + RETRANSMISSIONS_LAST, Timer::Forget(key));
        } else {
            self.records.push(key, Kind::Remove, &[]);
        }
        self.changed(slot, None);
        self.release_resource(slot);
    }

    /// The 200 has left: the granted time counts from here (RFC 3903 §6, standards §1.2).
    pub fn publication_acknowledged(&mut self, now: Now, presentity: &str, key: Key) {
        for package in 0..self.by_name.len() {
            let Some(slot) = self.by_name[package].get(presentity).copied() else {
                continue;
            };
            let publications = &self.resources[slot as usize].publications;
            if let Some(index) = publications
                .iter()
                .position(|publication| publication.key == key)
            {
                let granted = publications[index].granted;
                let deadline = publications[index].deadline;
                self.grant(now, slot, index, granted);
                self.resources[slot as usize].publications[index].deadline = deadline;
            }
        }
    }

    fn grant(&mut self, now: Now, slot: u32, index: usize, expires: u32) {
        let publication = &mut self.resources[slot as usize].publications[index];
        let lasts = Duration::from_secs(u64::from(expires));
        publication.granted = expires;
        publication.expires_at = now.monotonic + lasts;
        publication.deadline = now.wall + lasts;
        let (key, at, old) = (publication.key, publication.expires_at, publication.timer);
        let timer = self.set_timer(
            old,
            at,
            Timer::PublicationExpires {
                resource: slot,
                key,
            },
        );
        self.resources[slot as usize].publications[index].timer = timer;
    }

    /// Written whole again, with the request that made it as long as that may come again.
    fn rewrite_publication(&mut self, now: Now, slot: u32, index: usize) {
        self.put_publication(slot, index);
        let publication = &self.resources[slot as usize].publications[index];
        if now.monotonic < publication.maker.until {
            let record = Encoder::new(b'i')
                .u64(publication.maker.fingerprint.0)
                .u64(publication.maker_tag);
            self.append(publication.key, &record.end());
        }
    }

    fn put_publication(&mut self, slot: u32, index: usize) {
        let resource = &self.resources[slot as usize];
        let publication = &resource.publications[index];
        let texts = resource.name.len() + publication.body.len();
        let record = Encoder::with_texts(b'P', texts)
            .bytes(self.packages[usize::from(resource.package)].name.as_bytes())
            .bytes(resource.name.as_bytes())
            .u64(publication.entity_tag)
            .u32(publication.granted)
            .wall(publication.deadline)
            .wall(publication.accepted)
            .u64(publication.order)
            .change(publication.change)
            .bytes(publication.content_type.as_bytes())
            .bytes(&publication.body)
            .end();
        self.put(publication.key, &record);
    }

    fn published(&mut self, slot: u32, index: usize, operation: Operation) -> Published {
        let resource = &self.resources[slot as usize];
        let publication = &resource.publications[index];
        let tag = entity_tag(publication.key.partition(), publication.entity_tag);
        let published = Published {
            entity_tag: tag.clone(),
            expires: publication.granted,
            key: Some(publication.key),
        };
        let stored = Happened::PublicationStored {
            presentity: resource.name.clone(),
            operation,
            entity_tag: tag,
            expires: published.expires,
        };
        self.happens(stored);
        published
    }
}

/// RFC 3903 §6 step 4: the default where none is asked for, never more than asked; 423 for what is too brief, never for 0.
fn granted(request: &Message<'_>, context: Context<'_>) -> Result<u32, Rejection> {
    let bounds = context.presence.publish_expires_seconds;
    match request.expires()? {
        None => Ok(bounds.default),
        Some(0) => Ok(0),
        Some(expires) if expires < bounds.min => Err(Rejection::interval_too_brief(bounds.min)),
        Some(expires) => Ok(expires.min(bounds.max)),
    }
}
