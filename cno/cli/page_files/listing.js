// The filter of a listing: it hides the rows without the text. `/` goes to it, Enter to the first row.
const field = document.querySelector('input[type=search]');
const rows = [...document.querySelectorAll('main > table > tbody > tr:not(.u)')];
const names = rows.map(row => row.cells[0].textContent.toLowerCase());
const filter = () => {
  const wanted = field.value.toLowerCase();
  rows.forEach((row, number) => { row.hidden = !names[number].includes(wanted); });
};
field.hidden = false;
field.addEventListener('input', filter);
field.addEventListener('keydown', event => {
  const first = rows.find(row => !row.hidden);
  if (event.key === 'Enter' && first) first.querySelector('a').click();
  if (event.key === 'Escape') { field.value = ''; filter(); }
});
document.addEventListener('keydown', event => {
  if (event.key === '/' && document.activeElement !== field) {
    event.preventDefault();
    field.focus();
  }
});
filter();  // browsers keep the text of a field when a page is loaded again
