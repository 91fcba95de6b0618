//! What users keep of themselves for good (RFC 4827): the lowest source of their composition. Documents hold it, so no record is written.

use machine::settings::Presence;

use crate::resource::Permanent;
use crate::state::EventState;

impl EventState {
    /// What a presentity says of herself for good is another, or nothing any more: whoever sees something else now is owed a NOTIFY.
    pub fn handle_permanent(
        &mut self,
        package: &str,
        presentity: &str,
        presence: &Presence,
        said: Option<Permanent>,
    ) {
        if let Some(slot) = self.set_permanent(package, presentity, presence, said) {
            self.changed(slot, None);
            self.release_resource(slot);
        }
    }

    /// The same before `restored`: who is owed what is found there.
    pub fn restore_permanent(
        &mut self,
        package: &str,
        presentity: &str,
        presence: &Presence,
        said: Permanent,
    ) {
        self.set_permanent(package, presentity, presence, Some(said));
    }

    /// What a presentity says of herself for good.
    pub fn permanent_of(&self, package: &str, presentity: &str) -> Option<&Permanent> {
        let slot = self.slot_of(package, presentity)?;
        self.resources[slot as usize].permanent.as_deref()
    }

    fn set_permanent(
        &mut self,
        package: &str,
        presentity: &str,
        presence: &Presence,
        said: Option<Permanent>,
    ) -> Option<u32> {
        let mut packages = self.packages.iter();
        let index = packages.position(|known| known.name == package)?;
        let slot = match said {
            Some(_) => self.resource(index as u8, presentity, presence),
            None => self.slot_of(package, presentity)?,
        };
        self.resources[slot as usize].permanent = said.map(Box::new);
        Some(slot)
    }
}
