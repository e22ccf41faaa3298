import { defineComponent, h, renderSlot, type PropType, type Slots } from 'vue'
import { useCommon } from '@/app/i18n'
import { placeOf, type Column } from './table'

/**
 * A row of `DataTable`. It is a component of its own so that a change of the table (dimmed, sorted, another row is
 * ticked) leaves the rows alone: each is made anew when its record has changed, or what its cells show beside it. Not
 * as a template, since that cannot show the slots of another component without a component for each cell.
 */
export default defineComponent({
  props: {
    /** Its key. */
    id: { type: String, required: true },
    row: { type: null as unknown as PropType<unknown>, required: true },
    columns: { type: Array as PropType<readonly Column[]>, required: true },
    /** The table's slots. */
    cells: { type: Object as PropType<Slots>, required: true },
    /** Without it rows have no ticks. */
    ticked: { type: Boolean, default: undefined },
    name: { type: String, default: undefined },
    current: Boolean,
    onTick: { type: Function as PropType<(id: string, on: boolean) => void>, required: true },
  },
  setup(props) {
    const t = useCommon()
    const tick = (event: Event) => props.onTick(props.id, (event.target as HTMLInputElement).checked)
    const ticks = (ticked: boolean) =>
      h('td', { role: 'cell', class: 'dt-tick' }, [
        h('input', { type: 'checkbox', class: 'touch size-4 align-middle accent-accent', 'aria-label': t('tick', { name: props.name }), checked: ticked, onChange: tick }),
      ])
    return () => {
      const { row, columns, cells, ticked, current } = props
      return h('tr', { role: 'row', 'aria-selected': ticked, class: current ? 'dt-current' : undefined }, [
        ticked === undefined ? undefined : ticks(ticked),
        ...columns.map((column, index) =>
          h('td', { key: column.key, role: 'cell', class: [placeOf(column, index), column.phone && `dt-${column.phone}`] }, [
            !column.phone && !column.quiet && column.label ? h('span', { class: 'dt-label', 'aria-hidden': true }, column.label) : undefined,
            renderSlot(cells, `cell-${column.key}`, { row }),
          ]),
        ),
      ])
    }
  },
})
